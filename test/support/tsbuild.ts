/** The built command line, run as a process of its own with a store and a configuration of its own. */
import { fileURLToPath } from 'node:url';
import { type Finished, type RunOptions, run } from './command.ts';

export const commandPath = fileURLToPath(new URL('../../dist/tsbuild.js', import.meta.url));

export interface TsbuildOptions extends RunOptions {
  /** The store. */
  readonly home: string;
  /** Default: the Node that runs the tests. */
  readonly node?: string;
}

/** Resolves whatever the exit status. Nothing of the caller's environment that changes a build gets in. */
export function tsbuild(args: readonly string[], options: TsbuildOptions): Promise<Finished> {
  const { home, node = process.execPath, env, ...rest } = options;
  return run(node, [commandPath, ...args], { ...rest, env: { ...tsbuildEnvironment(home), ...env } });
}

/** Like `tsbuild`, but rejects with what it printed unless it exits with 0. */
export async function mustTsbuild(args: readonly string[], options: TsbuildOptions): Promise<Finished> {
  const finished = await tsbuild(args, options);
  if (finished.code === 0) return finished;
  throw new Error(
    `tsbuild ${args.join(' ')} exited with ${finished.code ?? finished.signal}\n${finished.text}${finished.stderr}`,
  );
}

export function tsbuildEnvironment(home: string): Record<string, string | undefined> {
  return {
    TSBUILD_HOME: home,
    DOCKER_CONFIG: `${home}/no-docker-config`,
    SOURCE_DATE_EPOCH: undefined,
    NO_COLOR: '1',
    FORCE_COLOR: undefined,
    DOCKER_HOST: undefined,
  };
}
