/**
 * One run of the helper: spec in, output and records out.
 * Invariant: settles only when the helper is gone and everything the step wrote has been handed on; the helper goes
 * only when every process of the step has.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { TsbuildError } from '../core/index.ts';
import { decodeRecords, type HelperRecord } from './records.ts';
import type { RunOptions } from './types.ts';

export interface HelperEnd {
  readonly records: readonly HelperRecord[];
  /** Of the helper itself; null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** @throws TsbuildError `sandbox-helper-missing` when it cannot be started. An abort is passed on as SIGTERM. */
export async function runHelper(helper: string, spec: Buffer, options: RunOptions): Promise<HelperEnd> {
  const child = spawn(helper, ['run'], {
    argv0: 'tsbuild-sandbox',
    cwd: '/',
    env: {},
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
  });
  const ended = endOf(child, helper);
  const records: Buffer[] = [];
  readable(child, 1).on('data', (chunk: Buffer) => options.onOutput('stdout', chunk));
  readable(child, 2).on('data', (chunk: Buffer) => options.onOutput('stderr', chunk));
  readable(child, 4).on('data', (chunk: Buffer) => records.push(chunk));
  const input = child.stdio[3] as Writable;
  // A helper that fails early closes its end; its record says why.
  input.on('error', () => {});
  input.end(spec);
  const abort = () => child.kill('SIGTERM');
  options.signal.addEventListener('abort', abort, { once: true });
  try {
    const { code, signal } = await ended;
    return { records: decodeRecords(Buffer.concat(records)), code, signal };
  } finally {
    options.signal.removeEventListener('abort', abort);
  }
}

function readable(child: ChildProcess, fd: 1 | 2 | 4): Readable {
  return child.stdio[fd] as Readable;
}

function endOf(child: ChildProcess, helper: string): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  return new Promise((resolve, reject) => {
    child.on('error', (cause) => {
      reject(
        new TsbuildError({
          code: 'sandbox-helper-missing',
          message: `the sandbox helper ${helper} cannot be started`,
          hint: 'reinstall tsbuild, or run `npm run build` in its source tree',
          cause,
        }),
      );
    });
    // 'close' comes after the ends of all pipes, 'exit' may come before.
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
}
