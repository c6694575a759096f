/**
 * buildah as a second opinion, with a storage of its own that all builds of one test file share.
 * Invariant: nothing of it stays when it is disposed of.
 */
import { existsSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { type Finished, mustRun, type RunOptions, run, works } from './command.ts';
import { type ReadImage, readDockerArchive } from './image-files.ts';
import { temporaryFolder } from './temporary-folder.ts';

export interface Buildah extends AsyncDisposable {
  /** Puts the image of a docker archive into the storage, under its own name. */
  load(archive: string, name: string): Promise<void>;
  build(tag: string, context: string, args: readonly string[], options?: RunOptions): Promise<Finished>;
  /** The command line `build` runs. */
  buildCommand(tag: string, context: string, args: readonly string[]): readonly string[];
  /** A command line of buildah on this storage. */
  command(args: readonly string[]): readonly string[];
  read(image: string): Promise<ReadImage>;
}

/** Why buildah cannot be used here; undefined when it can. */
export async function buildahMissing(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'buildah is run as root in these tests';
  return (await works('buildah')) ? undefined : 'buildah is not installed';
}

/** @param enter what stands in front of a command to run it in another root (`Trixie.enter`) */
export async function startBuildah(enter: readonly string[] = []): Promise<Buildah> {
  const folder = temporaryFolder('buildah', 0o711);
  const storage = (driver: string) => [
    ...['--root', folder.join('root'), '--runroot', folder.join('run'), '--storage-driver', driver],
  ];
  const overlay = storage('overlay');
  const [probe = '', ...probeArgs] = [...enter, 'buildah', ...overlay, 'images'];
  const global = (await run(probe, probeArgs)).code === 0 ? overlay : storage('vfs');
  const limits = ulimits();
  const command = (args: readonly string[]) => [...enter, 'buildah', ...global, ...args];
  const must = ([program = '', ...args]: readonly string[]) => mustRun(program, args);
  const buildCommand = (tag: string, context: string, args: readonly string[]) =>
    command([
      ...['build', '--format', 'docker', '--identity-label=false', '--pull-never', '--isolation', 'chroot'],
      ...['--network', 'host', ...limits, '-t', tag, ...args, context],
    ]);
  return {
    async load(archive, name) {
      const { text } = await must(command(['pull', '-q', `docker-archive:${archive}`]));
      await must(command(['tag', text.trim(), `localhost/${name}:latest`]));
    },
    build(tag, context, args, options) {
      const [program = '', ...rest] = buildCommand(tag, context, args);
      return run(program, rest, options);
    },
    buildCommand,
    command,
    async read(image) {
      const archive = folder.join('read.tar');
      try {
        await must(command(['push', '-q', image, `docker-archive:${archive}`]));
        return readDockerArchive(readFileSync(archive));
      } finally {
        await rm(archive, { force: true });
      }
    },
    async [Symbol.asyncDispose]() {
      // A driver keeps its own directory mounted on itself while it is in use.
      for (const name of ['root/overlay', 'root']) {
        if (existsSync(folder.join(name))) await run('umount', ['-l', folder.join(name)]);
      }
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** buildah would raise its limits to numbers of its own, which root without CAP_SYS_RESOURCE may not: the present ones. */
function ulimits(): string[] {
  const lines = readFileSync('/proc/self/limits', 'utf8').split('\n');
  const hard = (title: string) =>
    lines
      .find((line) => line.startsWith(title))
      ?.trim()
      .split(/\s{2,}/)[2];
  const files = hard('Max open files') ?? '1024';
  const processes = Math.min(Number(hard('Max processes') ?? '1024') || 32_768, 32_768);
  return ['--ulimit', `nofile=${files}:${files}`, '--ulimit', `nproc=${processes}:${processes}`];
}
