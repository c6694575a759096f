/**
 * Hands chunks to a stream that somebody else owns: stdout, a file, an engine's request.
 * Invariant: a reader that is slow slows the writer; one that goes away is an error here, not an uncaught one.
 */
import { once } from 'node:events';
import { cancelled, isTsbuildError, systemErrorCode, TsbuildError, throwIfAborted } from '../../core/index.ts';

/** The stream stays open. @throws TsbuildError `output-failed`, `cancelled` */
export async function writeChunks(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  out: NodeJS.WritableStream,
  signal: AbortSignal,
): Promise<void> {
  let failure: unknown;
  const fail = (error: unknown): void => {
    failure ??= error;
  };
  out.on('error', fail);
  try {
    for await (const chunk of chunks) {
      throwIfAborted(signal);
      if (!out.write(chunk)) await roomIn(out, signal);
      if (failure !== undefined) throw failure;
      if ('destroyed' in out && out.destroyed === true) throw new Error('it was closed');
    }
  } catch (error) {
    if (signal.aborted) throw cancelled(signal);
    throw isTsbuildError(error) ? error : outputFailed(failure ?? error);
  } finally {
    out.removeListener('error', fail);
  }
}

export function outputFailed(cause: unknown): TsbuildError {
  const full = systemErrorCode(cause) === 'ENOSPC';
  return new TsbuildError({
    code: 'output-failed',
    message: `the output could not be written: ${cause instanceof Error ? cause.message : String(cause)}`,
    hint: full ? 'Free space where the output goes.' : 'Check the program or disk that takes the output.',
    cause,
  });
}

async function roomIn(out: NodeJS.WritableStream, signal: AbortSignal): Promise<void> {
  const done = new AbortController();
  const both = { signal: AbortSignal.any([signal, done.signal]) };
  const waits = [once(out, 'drain', both), once(out, 'close', both)];
  for (const wait of waits) {
    wait.catch(() => {
      // The loser of the race, stopped below.
    });
  }
  try {
    await Promise.race(waits);
  } finally {
    done.abort();
  }
}
