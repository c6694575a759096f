/**
 * Writes a result to a file of the user's.
 * Invariants: a file under the name asked for is a whole one, for it is written beside and renamed; where a symlink has
 * the name, the file it leads to is replaced; what is no regular file, a device or a pipe, is written to and never replaced.
 */
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { realpath, rename, rm } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import { isTsbuildError, systemErrorCode } from '../../core/index.ts';
import { exportFailed, kindOf, outputFailure } from './output-place.ts';

/** Bytes that wait to be written while more are read and hashed. */
const writtenAhead = 4 * 1024 * 1024;

/** @throws TsbuildError `export-failed`, and what `write` throws for reasons of its own */
export async function writeOutputFile(
  path: string,
  write: (out: NodeJS.WritableStream) => Promise<void>,
): Promise<void> {
  try {
    const kind = await kindOf(path);
    if (kind === 'folder') throw exportFailed(path, 'it is a folder', 'Name a file.');
    if (kind === 'special') return await writeTo(path, 'w', write);
    const target = kind === 'file' ? await realpath(path) : path;
    const draft = `${target}.tsbuild-${randomBytes(6).toString('hex')}`;
    try {
      await writeTo(draft, 'wx', write);
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

async function writeTo(
  path: string,
  flags: 'w' | 'wx',
  write: (out: NodeJS.WritableStream) => Promise<void>,
): Promise<void> {
  const out = createWriteStream(path, { flags, highWaterMark: writtenAhead });
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
