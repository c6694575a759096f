/**
 * A file system of a chosen size, seen only by what runs in it.
 * Invariant: it lives in a mount namespace that a process of its own holds open, so it is gone with that process, and
 * that process ends when its input does, which is when the test process ends.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Finished, mustRun, run } from './command.ts';
import { commandPath, tsbuildEnvironment } from './tsbuild.ts';

export interface SmallDisk extends AsyncDisposable {
  /** Runs the built command line with its store on the disk. */
  tsbuild(args: readonly string[]): Promise<Finished>;
  /** Any other program that sees the disk. */
  run(program: string, args: readonly string[]): Promise<Finished>;
  resize(bytes: number): Promise<void>;
}

/** Why there can be no small disk here; undefined when there can. */
export function smallDiskMissing(): string | undefined {
  return process.getuid?.() === 0 ? undefined : 'mounting a tmpfs needs root';
}

/** @param point an empty folder */
export async function smallDisk(point: string, bytes: number): Promise<SmallDisk> {
  const script = 'mount -t tmpfs -o size="$2" tmpfs "$1" && echo ready && exec cat';
  const holder = spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', point, String(bytes)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(holder, 'exit');
  const [first] = await Promise.race([once(holder.stdout, 'data'), ended]);
  if (String(first) !== 'ready\n') throw new Error(`no tmpfs: ${String(first)}`);
  const inside = (program: string, args: readonly string[]): [string, string[]] => [
    'nsenter',
    ['--mount', `--target=${holder.pid}`, '--', program, ...args],
  ];
  return {
    tsbuild: (args) =>
      run(...inside(process.execPath, [commandPath, ...args]), { env: tsbuildEnvironment(`${point}/home`) }),
    run: (program, args) => run(...inside(program, args)),
    async resize(size) {
      await mustRun(...inside('mount', ['-o', `remount,size=${size}`, point]));
    },
    async [Symbol.asyncDispose]() {
      holder.stdin.end();
      await ended;
    },
  };
}
