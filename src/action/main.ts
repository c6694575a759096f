/**
 * The GitHub Action's entry: inputs -> the arguments of `tsbuild build` -> the same build. The log is grouped per step, a
 * failure is annotated at its line of the Dockerfile.
 */
import { randomBytes } from 'node:crypto';
import { relative, resolve } from 'node:path';
import {
  buildWith,
  compileWasmOnce,
  enterUserNamespace,
  parseBuildArguments,
  processSession,
  renderError,
  type Session,
  surroundingsOf,
} from '../cli/index.ts';
import { isTsbuildError, type SourceLocation, TsbuildError } from '../core/index.ts';
import { argumentsOfInputs, contextOf, type Environment, input } from './inputs.ts';
import { writeFailureSummary, writeOutputs, writeSummary } from './outputs.ts';
import { data, WorkflowLog } from './workflow-log.ts';

compileWasmOnce();
void main();

async function main(): Promise<never> {
  const controller = new AbortController();
  let stopped = false;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (stopped) process.exit(1);
      stopped = true;
      controller.abort(new TsbuildError({ code: 'interrupted', message: `stopped by ${name}` }));
    });
  }
  process.exit(await runAction(processSession({ signal: controller.signal, takeSignals: () => () => {} })));
}

async function runAction(session: Session): Promise<number> {
  const write = (text: string) => session.stdout.write(text);
  const log = new WorkflowLog({ write, stopToken: token() });
  const started = session.now();
  try {
    // Paths in inputs are relative to the workspace, wherever the runner started us.
    if (session.env.GITHUB_WORKSPACE) process.chdir(session.env.GITHUB_WORKSPACE);
    const code = await enterUserNamespace(input(session.env, 'isolation') || 'auto', session);
    if (code !== undefined) return code;
    const { argv, env, secrets } = argumentsOfInputs(session.env);
    for (const secret of secrets) for (const line of maskable(secret)) write(`::add-mask::${data(line)}\n`);
    const invocation = await parseBuildArguments(argv, {
      ...surroundingsOf(session),
      env: { ...session.env, ...env },
    });
    const outcome = await buildWith(invocation, session, (event) => log.handle(event));
    log.close();
    await writeOutputs(outcome, session.env, `tsbuild_${token()}`);
    await writeSummary(outcome, session.now() - started, session.env);
    return 0;
  } catch (error) {
    log.close();
    await reportFailure(error, session, log);
    return 1;
  }
}

async function reportFailure(error: unknown, session: Session, log: WorkflowLog): Promise<void> {
  const debug = session.env.RUNNER_DEBUG === '1' || session.env.TSBUILD_DEBUG === '1';
  const text = renderError(error, { colour: false, columns: 120, debug });
  const stopToken = token();
  session.stdout.write(`::stop-commands::${stopToken}\n${text}::${stopToken}::\n`);
  const message = error instanceof Error ? error.message : String(error);
  const known = isTsbuildError(error) ? error : undefined;
  const annotated = [message, ...(known?.hint === undefined ? [] : [known.hint])].join('\n');
  log.annotate('error', annotated, known?.source && inWorkspace(known.source, session.env), known?.code);
  await writeFailureSummary(text, session.env);
}

/** Annotations name files from the root of the workspace. */
function inWorkspace(source: SourceLocation, env: Environment): SourceLocation {
  const workspace = env.GITHUB_WORKSPACE ?? process.cwd();
  const file = input(env, 'file') === '' ? resolve(contextOf(env), source.file) : resolve(source.file);
  const inside = relative(workspace, file);
  return { ...source, file: inside.startsWith('..') ? source.file : inside };
}

/** The runner masks single lines; very short ones would mask half of the log. */
function maskable(secret: string): string[] {
  return secret
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line.length >= 3);
}

function token(): string {
  return randomBytes(18).toString('hex');
}
