/**
 * A run of the helper for one step that is attached to this process's own streams: stdin as it is, or a terminal shown on
 * ours. Steps of builds go through the server (step-server.ts), which cannot hand streams on.
 * Invariant: a run settles only when its helper is gone and everything the step wrote has been handed on; the helper goes
 * only when every process of the step has.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { helperMissing } from './failures.ts';
import { decodeRecords, type HelperEnd } from './records.ts';
import type { RunOptions } from './types.ts';

/**
 * @param command starts the helper, or what starts it in turn
 * @throws TsbuildError `sandbox-helper-missing` when it cannot be started. An abort is passed on as SIGUSR2.
 */
export async function runAttached(
  [program, ...args]: readonly [string, ...string[]],
  spec: Buffer,
  { onOutput, onStart, signal, attach = { input: false, terminal: false } }: RunOptions,
): Promise<HelperEnd> {
  const output = attach.terminal ? 'inherit' : 'pipe';
  const child = spawn(program, args, {
    argv0: 'tsbuild-sandbox',
    cwd: '/',
    env: {},
    stdio: [attach.input ? 'inherit' : 'ignore', output, output, 'pipe', 'pipe'],
  });
  const ended = endOf(child, program);
  const records: Buffer[] = [];
  const input = child.stdio[3] as Writable;
  // One that fails early closes its end; its record says why.
  input.on('error', () => {});
  if (child.stdout) handOn(child.stdout, (chunk) => onOutput('stdout', chunk));
  if (child.stderr) handOn(child.stderr, (chunk) => onOutput('stderr', chunk));
  (child.stdio[4] as Readable).on('data', (chunk: Buffer) => records.push(chunk));
  input.end(spec);
  onStart?.((name) => child.kill(name));
  const abort = () => child.kill('SIGUSR2');
  signal.addEventListener('abort', abort, { once: true });
  try {
    return { ...(await ended), records: decodeRecords(Buffer.concat(records)) };
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Reads no further while the last chunk is being taken. */
function handOn(stream: Readable, take: (chunk: Buffer) => unknown): void {
  const resume = () => stream.resume();
  stream.on('data', (chunk: Buffer) => {
    const taken = take(chunk);
    if (!(taken instanceof Promise)) return;
    stream.pause();
    taken.then(resume, resume);
  });
}

function endOf(child: ChildProcess, program: string): Promise<Omit<HelperEnd, 'records'>> {
  return new Promise((resolve, reject) => {
    child.on('error', (cause) => reject(helperMissing(program, cause)));
    // 'close' comes after the ends of all pipes, 'exit' may come before.
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
}
