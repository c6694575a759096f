/**
 * Runs of the built command line that are killed on the way, and what must not be left of them.
 * Invariant: a run started here has ended when `killAfter` settles; what its children do then is for `leftBehind` to find.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { killGroup, run } from './command.ts';
import { commandPath, tsbuildEnvironment } from './tsbuild.ts';

/** `group`: every process of the run at once, as a container's end does. `main`: only the one a user sees. */
export type Victim = 'group' | 'main';

export interface KilledRun {
  /** Null: the kill came in time. */
  readonly code: number | null;
  readonly stderr: string;
}

/** Starts a command and sends SIGKILL after some milliseconds, unless it ended before. */
export async function killAfter(
  args: readonly string[],
  options: { readonly home: string; readonly victim: Victim; readonly delay: number; readonly cwd?: string },
): Promise<KilledRun> {
  const child = spawn(process.execPath, [commandPath, ...args], {
    cwd: options.cwd,
    env: { ...process.env, ...tsbuildEnvironment(options.home) },
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = once(child, 'exit');
  await Promise.race([ended, sleep(options.delay)]);
  if (child.pid !== undefined && child.exitCode === null) {
    if (options.victim === 'group') killGroup(child.pid, 'SIGKILL');
    else child.kill('SIGKILL');
  }
  await ended;
  return { code: child.exitCode, stderr };
}

/** A generator of numbers in [0, 1) that one seed repeats (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Processes that know the store, or whose command line holds `marker`, and mount points in the store, whatever mount
 * namespace has them. (A step's own mounts are in its namespace alone and go with its last process.) A dying process is waited for.
 * @param patience tenths of a second
 */
export async function leftBehind(home: string, marker: string, patience = 50): Promise<string[]> {
  for (let attempt = 0; ; attempt += 1) {
    const found = [...drafts(home), ...processes(home, marker)];
    if (found.length === 0 || attempt === patience) return found;
    await sleep(100);
  }
}

function drafts(home: string): string[] {
  return readdirSync(join(home, 'ingest')).map((name) => `draft ${name}`);
}

function processes(home: string, marker: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .flatMap((pid) => {
      const read = (file: string): string => {
        try {
          return readFileSync(`/proc/${pid}/${file}`, 'latin1');
        } catch {
          // It has gone meanwhile, or is a kernel thread.
          return '';
        }
      };
      const commandLine = read('cmdline').replaceAll('\0', ' ');
      const why = [
        ...(commandLine.includes(marker) ? ['its command line'] : []),
        ...(read('environ').includes(`TSBUILD_HOME=${home}`) ? ['its environment'] : []),
        ...(read('mountinfo').includes(`${home}/`) ? ['its mounts'] : []),
      ];
      return why.length === 0 ? [] : [`process ${pid} (${commandLine}) by ${why.join(', ')}`];
    });
}

/** The names of a store's images, as other tools read them from `index.json`. */
export function namesInStore(home: string): Map<string, string> {
  const index = JSON.parse(readFileSync(join(home, 'index.json'), 'utf8')) as {
    manifests: { digest: string; annotations?: Record<string, string> }[];
  };
  return new Map(
    index.manifests.flatMap(({ digest, annotations }) => {
      const name = annotations?.['org.opencontainers.image.ref.name'];
      return name === undefined ? [] : [[name, digest] as const];
    }),
  );
}

/** What skopeo says about images it cannot copy, digests verified, out of the store. */
export async function unreadableBySkopeo(home: string, scratch: string): Promise<string[]> {
  const complaints: string[] = [];
  const oneNameEach = new Map([...namesInStore(home)].map(([name, digest]) => [digest, name]));
  for (const name of oneNameEach.values()) {
    await run('rm', ['-rf', scratch]);
    const copied = await run('skopeo', ['--insecure-policy', 'copy', '-q', `oci:${home}:${name}`, `dir:${scratch}`]);
    if (copied.code !== 0) complaints.push(`${name}: ${copied.stderr}`);
  }
  await run('rm', ['-rf', scratch]);
  return complaints;
}
