/** The command of a RUN in the sandbox: what it is given, and what it says. */
import type { RunOptions, Sandbox, StepResult, StepSpec } from '../../sandbox/index.ts';
import { proxyArguments, type RunOperation, variableName } from '../plan/index.ts';
import type { BuildRequest } from '../types.ts';
import { LogTail } from './log-tail.ts';
import type { OpenedMounts } from './mounts.ts';
import type { StepRoot } from './step-root.ts';
import type { StepContext } from './types.ts';

/** What BuildKit calls every build container; programs that print it make equal layers on every machine. */
export const defaultHostname = 'buildkitsandbox';

export interface Command {
  readonly spec: StepSpec;
  readonly tail: LogTail;
  readonly result: Promise<StepResult>;
}

export async function startCommand(
  sandbox: Sandbox,
  { environment, id, platform, signal }: Pick<StepContext, 'environment' | 'id' | 'platform' | 'signal'>,
  operation: RunOperation,
  root: StepRoot,
  mounts: Pick<OpenedMounts, 'mounts' | 'env'> = { mounts: [], env: [] },
  held?: RunOptions['held'],
): Promise<Command> {
  const { request } = environment;
  const emulator = environment.emulators.get(platform.architecture) ?? [];
  const spec: StepSpec = {
    rootfs: root.rootfs,
    args: operation.args,
    env: withProxies([...operation.env, ...mounts.env], request),
    cwd: operation.cwd,
    user: operation.user,
    hostname: hostnameOf(request),
    network: operation.network,
    security: operation.security,
    mounts: await root.place([...emulator, ...mounts.mounts]),
    extraHosts: request.extraHosts,
    limits: request.limits,
  };
  const tail = new LogTail();
  const result = sandbox.run(spec, {
    signal,
    onOutput: (stream, chunk) => {
      tail.add(chunk);
      environment.events({ kind: 'step-output', id, stream, chunk });
    },
    ...(held && { held }),
  });
  // Who waits for it hears of it; that may be later.
  result.catch(() => {});
  return { spec, tail, result };
}

export function succeeded({ exit }: StepResult): boolean {
  return exit.kind === 'exited' && exit.code === 0;
}

export function hostnameOf({ buildArgs }: BuildRequest): string {
  return buildArgs.BUILDKIT_SANDBOX_HOSTNAME || defaultHostname;
}

/**
 * The proxy variables, declared by an ARG or not. Those of the command line beat ENV and count in both spellings, the
 * lower one first, as in BuildKit; those of tsbuild's own environment are only for what nobody says.
 */
function withProxies(
  env: readonly string[],
  { buildArgs, proxyEnv }: Pick<BuildRequest, 'buildArgs' | 'proxyEnv'>,
): readonly string[] {
  const variables = new Map(env.map((entry) => [variableName(entry), entry]));
  for (const [name, value] of Object.entries(proxyEnv)) {
    if (!variables.has(name)) variables.set(name, `${name}=${value}`);
  }
  for (const name of [...proxyArguments].filter((one) => one === one.toLowerCase())) {
    const value = buildArgs[name] ?? buildArgs[name.toUpperCase()] ?? '';
    if (value === '') continue;
    for (const spelling of [name, name.toUpperCase()]) variables.set(spelling, `${spelling}=${value}`);
  }
  return [...variables.values()];
}
