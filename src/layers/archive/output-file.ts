/**
 * Writes a result to a file of the user's.
 * Invariants: a file under the name asked for is a whole one, for it is written beside and renamed; where a symlink has
 * the name, the file it leads to is replaced; what is no regular file, a device or a pipe, is written to and never replaced.
 */
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { realpath, rename, rm, stat } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import { isTsbuildError, systemErrorCode, TsbuildError } from '../../core/index.ts';

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
    const cause = isTsbuildError(error) && error.code === 'output-failed' ? error.cause : error;
    const code = isTsbuildError(cause) ? undefined : systemErrorCode(cause);
    if (code === undefined) throw error;
    throw exportFailed(path, reasons[code] ?? String(cause), hints[code] ?? 'Choose a file you may write to.', cause);
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'its folder does not exist',
  ENOTDIR: 'what it says is a folder is none',
  ENOSPC: 'no space is left on the disk',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  EPIPE: 'its reader went away',
};
const hints: Readonly<Record<string, string>> = {
  ENOENT: 'Make the folder first.',
  ENOSPC: 'Free some space, or write elsewhere.',
};

async function kindOf(path: string): Promise<'file' | 'folder' | 'special' | 'nothing'> {
  try {
    const status = await stat(path);
    return status.isFile() ? 'file' : status.isDirectory() ? 'folder' : 'special';
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return 'nothing';
    throw error;
  }
}

async function writeTo(
  path: string,
  flags: 'w' | 'wx',
  write: (out: NodeJS.WritableStream) => Promise<void>,
): Promise<void> {
  const out = createWriteStream(path, { flags });
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

function exportFailed(path: string, why: string, hint: string, cause?: unknown): TsbuildError {
  return new TsbuildError({
    code: 'export-failed',
    message: `cannot write ${path}: ${why}`,
    hint,
    ...(cause !== undefined && { cause }),
  });
}
