/**
 * Runs real programs for tests.
 * Invariant: a program started here has ended when the promise settles; past its time limit its whole process group is
 * killed.
 */
import { spawn } from 'node:child_process';

export interface Finished {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
  /** stdout as text. */
  readonly text: string;
}

export interface RunOptions {
  readonly cwd?: string;
  /** Added to the environment of the test; undefined removes. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string | Uint8Array;
  /** Milliseconds. Default two minutes. */
  readonly timeout?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** Resolves whatever the exit status. Rejects when the program cannot be started or takes too long. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const child = spawn(command, [...args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(options.uid !== undefined && { uid: options.uid }),
    ...(options.gid !== undefined && { gid: options.gid }),
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  // A program may end without reading its input.
  child.stdin.on('error', () => {});
  child.stdin.end(options.input);
  return new Promise((resolve, reject) => {
    const milliseconds = options.timeout ?? 120_000;
    const timer = setTimeout(() => {
      if (child.pid !== undefined) killGroup(child.pid, 'SIGKILL');
      reject(new Error(`${describe(command, args)} took more than ${milliseconds} ms\n${Buffer.concat(stderr)}`));
    }, milliseconds);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const out = Buffer.concat(stdout);
      resolve({ code, signal, stdout: out, stderr: Buffer.concat(stderr).toString(), text: out.toString() });
    });
  });
}

/** Like `run`, but rejects with what the program printed unless it exits with 0. */
export async function mustRun(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const finished = await run(command, args, options);
  if (finished.code === 0) return finished;
  const how = finished.signal ?? `exit code ${finished.code}`;
  throw new Error(`${describe(command, args)} failed (${how})\n${finished.text}${finished.stderr}`);
}

/** True when the program exists and `--version` or the given arguments succeed. */
export async function works(command: string, args: readonly string[] = ['--version']): Promise<boolean> {
  try {
    return (await run(command, args, { timeout: 20_000 })).code === 0;
  } catch {
    return false;
  }
}

export function killGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

function describe(command: string, args: readonly string[]): string {
  return [command, ...args].join(' ').slice(0, 400);
}
