/**
 * A real Docker engine of one test file's own: its socket, its data, no bridge, no firewall rules.
 * Invariant: when it is disposed of, the engine, its containerd and its mounts are gone. Should the test process die
 * first, the kernel tells the engine to stop.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Finished, killGroup, mustRun, type RunOptions, run } from './command.ts';
import { type ReadImage, readDockerArchive } from './image-files.ts';
import { temporaryFolder } from './temporary-folder.ts';

export interface Dockerd extends AsyncDisposable {
  /** `unix:///…/docker.sock`. */
  readonly host: string;
  readonly socketPath: string;
  /** The docker client on this engine; rejects unless it exits with 0. */
  docker(args: readonly string[], options?: RunOptions): Promise<Finished>;
  /** Like `docker`, whatever the exit status. */
  tryDocker(args: readonly string[], options?: RunOptions): Promise<Finished>;
  load(archive: string): Promise<void>;
  /** Builds with the engine's own BuildKit. Resolves to the client's outcome. */
  build(tag: string, context: string, args: readonly string[], options?: RunOptions): Promise<Finished>;
  /** The command line `build` runs; it needs DOCKER_BUILDKIT=1. */
  buildCommand(tag: string, context: string, args: readonly string[]): readonly string[];
  /** Process ID of the engine. */
  readonly pid: number | undefined;
  /** An image of the engine as `docker save` writes it. */
  read(image: string): Promise<ReadImage>;
}

/** Why no engine can be started here; undefined when one can. */
export function dockerdMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'dockerd needs root';
  return ['/usr/sbin/dockerd', '/usr/bin/dockerd'].some(existsSync)
    ? undefined
    : 'dockerd is not installed (docker.io)';
}

/** @param enter what stands in front of a command to run it in another root (`Trixie.enter`) */
export async function startDockerd(enter: readonly string[] = []): Promise<Dockerd> {
  const folder = temporaryFolder('dockerd', 0o711);
  const socketPath = folder.join('docker.sock');
  const host = `unix://${socketPath}`;
  const log = createWriteStream(folder.join('log'));
  await once(log, 'open');
  const child = spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'TERM', ...enter, 'dockerd', '--iptables=false', '--ip6tables=false', '--bridge=none'],
      ...['--host', host, '--pidfile', folder.join('pid')],
      ...['--data-root', folder.join('data'), '--exec-root', folder.join('exec')],
      // A group of its own, so that none is left behind and no other engine's is touched.
      ...['--cgroup-parent', `/${basename(folder.path)}`],
    ],
    { detached: true, stdio: ['ignore', log, log] },
  );
  const exited = once(child, 'exit');
  const [client = '', ...clientArgs] = enter.length > 0 ? [...enter, 'docker'] : [buildClient()];
  const tryDocker = (args: readonly string[], options: RunOptions = {}) =>
    run(client, [...clientArgs, '-H', host, ...args], { ...options, env: { ...options.env, DOCKER_HOST: undefined } });
  const docker = (args: readonly string[], options: RunOptions = {}) =>
    mustRun(client, [...clientArgs, '-H', host, ...args], {
      ...options,
      env: { ...options.env, DOCKER_HOST: undefined },
    });
  const buildCommand = (tag: string, context: string, args: readonly string[]) => [
    ...[
      client,
      ...clientArgs,
      '-H',
      host,
      'build',
      '--network',
      'host',
      '--progress',
      'plain',
      '-t',
      tag,
      ...args,
      context,
    ],
  ];
  const engine: Dockerd = {
    host,
    socketPath,
    docker,
    tryDocker,
    async load(archive) {
      await docker(['load', '-i', archive]);
    },
    build(tag, context, args, options = {}) {
      const [program = '', ...rest] = buildCommand(tag, context, args);
      return run(program, rest, { ...options, env: { ...options.env, DOCKER_HOST: undefined, DOCKER_BUILDKIT: '1' } });
    },
    buildCommand,
    pid: child.pid,
    async read(image) {
      return readDockerArchive((await docker(['save', image])).stdout);
    },
    async [Symbol.asyncDispose]() {
      if (child.pid !== undefined && child.exitCode === null) {
        child.kill('SIGTERM');
        const ended = await Promise.race([exited.then(() => true), sleep(20_000, false, { ref: false })]);
        if (!ended) killGroup(child.pid, 'SIGKILL');
        await exited;
      }
      log.close();
      await unmountBelow(folder.path);
      removeControlGroups(basename(folder.path));
      await folder[Symbol.asyncDispose]();
    },
  };
  for (let attempt = 0; attempt < 300; attempt += 1) {
    if ((await tryDocker(['version'], { timeout: 10_000 })).code === 0) return engine;
    if (child.exitCode !== null) break;
    await sleep(100);
  }
  const tail = readFileSync(folder.join('log'), 'utf8').split('\n').slice(-20).join('\n');
  await engine[Symbol.asyncDispose]();
  throw new Error(`dockerd did not start:\n${tail}`);
}

/** Debian's client speaks to the BuildKit inside the engine; newer ones need a plugin that may not be there. */
function buildClient(): string {
  const debian = '/usr/bin/docker';
  return existsSync(debian) ? debian : 'docker';
}

/** Control groups (version 1 or 2) of that name and those below; only empty ones can be removed, and only so. */
function removeControlGroups(name: string): void {
  const root = '/sys/fs/cgroup';
  const hierarchies = existsSync(root) ? ['', ...readdirSync(root)] : [];
  const remove = (folder: string) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) remove(join(folder, entry.name));
    }
    rmdirSync(folder);
  };
  for (const hierarchy of hierarchies) {
    const folder = join(root, hierarchy, name);
    if (existsSync(folder)) remove(folder);
  }
}

async function unmountBelow(folder: string): Promise<void> {
  const points = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((point) => point.startsWith(`${folder}/`));
  for (const point of points.reverse()) await run('umount', ['-l', point]);
}
