/**
 * Writes a result to a file of the user's.
 * Invariants: a file under the name asked for is a whole one, for it is written beside and renamed; where a symlink has
 * the name, the file it leads to is replaced; what is no regular file, a device or a pipe, is written to and never replaced.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, createWriteStream, openSync, writeSync } from 'node:fs';
import { realpath, rename, rm } from 'node:fs/promises';
import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { isTsbuildError, systemErrorCode } from '../../core/index.ts';
import { exportFailed, kindOf, outputFailure } from './output-place.ts';

/** @throws TsbuildError `export-failed`, and what `write` throws for reasons of its own */
export async function writeOutputFile(
  path: string,
  write: (out: NodeJS.WritableStream) => Promise<void>,
): Promise<void> {
  try {
    const kind = await kindOf(path);
    if (kind === 'folder') throw exportFailed(path, 'it is a folder', 'Name a file.');
    if (kind === 'special') return await writeTo(createWriteStream(path), write);
    const target = kind === 'file' ? await realpath(path) : path;
    const draft = `${target}.tsbuild-${randomBytes(6).toString('hex')}`;
    try {
      await writeTo(new FileOutput(draft), write);
      await rename(draft, target);
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    }
  } catch (error) {
    // What the stream's owner could only call an output gets its name here.
    const isAnonymous =
      isTsbuildError(error) && error.code === 'output-failed' && systemErrorCode(error.cause) !== undefined;
    throw outputFailure(path, isAnonymous ? error.cause : error);
  }
}

/**
 * A new file. Each chunk is written at once, in place: to hand it to another thread costs more than the copy of bytes that
 * a write to a file is.
 * Invariant: when `write` returns, the chunk's memory is the caller's again.
 */
export class FileOutput extends Writable {
  readonly #file: number;

  /** @param path must not exist */
  constructor(path: string) {
    super({ decodeStrings: false });
    this.#file = openSync(path, 'wx');
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    try {
      for (let at = 0; at < chunk.byteLength; ) at += writeSync(this.#file, chunk, at);
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    closeSync(this.#file);
    done(error);
  }
}

async function writeTo(out: Writable, write: (out: NodeJS.WritableStream) => Promise<void>): Promise<void> {
  const closed = finished(out);
  const written = write(out).then(
    () => void out.end(),
    (error: unknown) => {
      out.destroy();
      throw error;
    },
  );
  await Promise.all([written, closed]);
}
