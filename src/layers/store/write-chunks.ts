/**
 * Writes a stream of chunks to a file. Each is written as soon as it is there, in place: while it still lies in the
 * processor's cache that costs half of what a later write of many costs, and handing writes to another thread costs two
 * waits for the scheduler each, which on a busy machine is most of the time a pull takes.
 * Invariant: at most `least` bytes and one chunk wait in memory.
 */
import { closeSync, openSync, writeSync, writevSync } from 'node:fs';
import { throwIfAborted } from '../../core/index.ts';
import { storeFailure } from './failures.ts';

/** Bytes that are worth a system call. */
const least = 32 * 1024;

export interface WriteOptions {
  readonly signal: AbortSignal;
  /** Bytes the file has already; what comes is put behind them. */
  readonly start: number;
  /** Bytes the file may have in the end. */
  readonly limit: number;
  readonly onChunk: (chunk: Uint8Array) => void;
  /** Called with the bytes received so far, `start` among them. */
  readonly onProgress?: ((size: number) => void) | undefined;
}

/** Resolves to the size of the file; stops early, with a size above `limit`, when there are more bytes than that. */
export async function writeChunks(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  options: WriteOptions,
): Promise<number> {
  const { signal, start, limit } = options;
  const fd = openForWriting(path, start);
  let batch: Uint8Array[] = [];
  let written = start;
  let size = start;
  const flush = (): void => {
    const bytes = batch;
    batch = [];
    writeAll(fd, bytes, size - written, written, path);
    written = size;
  };
  try {
    for await (const chunk of chunks) {
      throwIfAborted(signal);
      if (chunk.byteLength === 0) continue;
      if (size + chunk.byteLength > limit) return size + chunk.byteLength;
      size += chunk.byteLength;
      options.onChunk(chunk);
      batch.push(chunk);
      if (size - written >= least) flush();
      options.onProgress?.(size);
    }
    throwIfAborted(signal);
    flush();
  } finally {
    closeSync(fd);
  }
  return size;
}

/** writev may write less than it was given, on a disk that fills up. */
function writeAll(fd: number, chunks: readonly Uint8Array[], length: number, position: number, path: string): void {
  try {
    if (length === 0) return;
    const bytesWritten = writevSync(fd, chunks, position);
    if (bytesWritten === length) return;
    const rest = Buffer.concat(chunks).subarray(bytesWritten);
    for (let done = 0; done < rest.length; ) {
      done += writeSync(fd, rest, done, rest.length - done, position + bytesWritten + done);
    }
  } catch (error) {
    throw storeFailure(error, `cannot write ${path}`);
  }
}

function openForWriting(path: string, start: number): number {
  try {
    return openSync(path, start === 0 ? 'w' : 'r+', 0o600);
  } catch (error) {
    throw storeFailure(error, `cannot write ${path}`);
  }
}
