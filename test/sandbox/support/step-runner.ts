/**
 * Starts the driver on a rung and speaks with it.
 * Invariant: when a runner is disposed of, its process, its folder and the user made for it are gone.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import { distPath } from '../../../src/core/index.ts';
import { mustRun, run, works } from '../../support/command.ts';
import { ordinaryUser } from '../../support/ordinary-user.ts';
import { asContainerRoot, asUser } from '../../support/rung-prefixes.ts';
import { type TemporaryFolder, temporaryFolder } from '../../support/temporary-folder.ts';
import type { Answer, StepRequest } from './protocol.ts';

/** `single`: the rung userns with one mapped ID. */
export type TestedRung = 'root' | 'userns' | 'single' | 'chroot';

export interface StepRunner extends AsyncDisposable {
  readonly rung: TestedRung;
  readonly process: ChildProcess;
  /** Path of the driver's script: what its processes, and no others, have in their command line. */
  readonly driver: string;
  run(request: StepRequest, onOutput?: (text: string) => void): Promise<Answer>;
  /** Like `run`, with a function that aborts the step. */
  start(request: StepRequest, onOutput?: (text: string) => void): { readonly done: Promise<Answer>; abort(): void };
  probe(): Promise<Answer>;
}

/** Why a rung cannot be tested here; undefined when it can. */
export async function cannotTest(rung: TestedRung): Promise<string | undefined> {
  if (process.geteuid?.() !== 0) return `the tests of ${rung} start as root`;
  if (!(await works('busybox', ['true']))) return 'busybox is not installed';
  if (rung === 'userns' && !(await works('newuidmap', ['--help'])) && !(await hasNewuidmap()))
    return 'newuidmap is not installed';
  if (rung === 'chroot' && !(await works('setpriv'))) return 'setpriv is not installed';
  return undefined;
}

async function hasNewuidmap(): Promise<boolean> {
  return (await run('sh', ['-c', 'command -v newuidmap'])).code === 0;
}

/** A program of this folder on a rung. Its process, and no other, has `path` in its command line. */
export interface RungProgram extends AsyncDisposable {
  readonly path: string;
  /** How it is started, its rung and its folder included. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** @param helper the helper it uses */
export async function rungProgram(rung: TestedRung, source: string, helper: string): Promise<RungProgram> {
  const folder = temporaryFolder(`sandbox-${rung}`, 0o755);
  const path = folder.join('driver.mjs');
  await bundle(source, folder, helper);
  const user = rung === 'userns' ? await ordinaryUser() : undefined;
  const steps = folder.join('steps');
  mkdirSync(steps);
  chmodSync(steps, 0o755);
  const owner = user?.uid ?? (rung === 'single' ? unusedId : 0);
  if (owner !== 0) await mustRun('chown', [`${owner}:${owner}`, steps]);
  return {
    path,
    command: [...prefix(rung, owner), process.execPath, path, rung === 'single' ? 'userns' : rung, steps],
    env: { PATH: process.env.PATH, HOME: '/', TMPDIR: steps },
    async [Symbol.asyncDispose]() {
      await folder[Symbol.asyncDispose]();
      await user?.[Symbol.asyncDispose]();
    },
  };
}

/** @param helper another build of the helper than the one that is tested */
export async function stepRunner(rung: TestedRung, helper?: string): Promise<StepRunner> {
  const program = await rungProgram(rung, 'driver.ts', helper ?? distPath('native/tsbuild-sandbox'));
  const [command = '', ...args] = [...program.command, helper === undefined ? 'probed' : 'unprobed'];
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: program.env as NodeJS.ProcessEnv });
  return converse({ rung, process: child, driver: program.path }, async () => program[Symbol.asyncDispose]());
}

/** No user has it, and so no subordinate IDs. */
const unusedId = 54_321;

function prefix(rung: TestedRung, owner: number): readonly string[] {
  if (rung === 'chroot') return asContainerRoot;
  return owner === 0 ? [] : asUser(owner);
}

async function bundle(entry: string, folder: TemporaryFolder, helper: string): Promise<void> {
  await build({
    entryPoints: [new URL(entry, import.meta.url).pathname],
    outfile: folder.join('driver.mjs'),
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.18',
    logLevel: 'error',
  });
  const source = new URL('probe-calls.c', import.meta.url).pathname;
  await mustRun('cc', ['-std=c11', '-D_GNU_SOURCE', '-static', '-o', folder.join('probe-calls'), source]);
  mkdirSync(folder.join('native'));
  chmodSync(folder.join('native'), 0o755);
  copyFileSync(helper, folder.join('native/tsbuild-sandbox'));
}

const driverEnded = { code: 'driver-ended', message: 'the driver ended' };

function converse(driver: Pick<StepRunner, 'rung' | 'process' | 'driver'>, release: () => Promise<void>): StepRunner {
  const child = driver.process;
  const waiting = new Map<number, { resolve: (answer: Answer) => void; onOutput: (text: string) => void }>();
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  let next = 0;
  let gone = false;
  if (!child.stdout || !child.stdin) throw new Error('the driver has no pipes');
  const { stdout, stdin } = child;
  createInterface({ input: stdout }).on('line', (line) => {
    const answer = JSON.parse(line) as Answer;
    const waiter = waiting.get(answer.id);
    if (answer.output !== undefined) waiter?.onOutput(answer.output);
    else {
      waiting.delete(answer.id);
      waiter?.resolve(answer);
    }
  });
  stdin.on('error', () => {});
  child.on('close', () => {
    gone = true;
    for (const [id, { resolve }] of waiting) resolve({ id, error: driverEnded });
  });
  const ask = (message: object, onOutput: (text: string) => void = () => {}) => {
    const id = next++;
    if (gone) return { done: Promise.resolve<Answer>({ id, error: driverEnded }), abort: () => {} };
    const done = new Promise<Answer>((resolve) => waiting.set(id, { resolve, onOutput }));
    stdin.write(`${JSON.stringify({ id, ...message })}\n`);
    return { done, abort: () => void stdin.write(`${JSON.stringify({ id, op: 'abort' })}\n`) };
  };
  return {
    ...driver,
    start: (request, onOutput) => ask({ op: 'run', ...request }, onOutput),
    run: (request, onOutput) => ask({ op: 'run', ...request }, onOutput).done,
    probe: () => ask({ op: 'probe' }).done,
    async [Symbol.asyncDispose]() {
      stdin.end();
      await ended;
      await release();
    },
  };
}
