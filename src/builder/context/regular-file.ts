/**
 * Reads whole regular files of contexts, and says why one cannot be read.
 * Invariant: a FIFO, a device or a socket in the place of a file is never waited for.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { bytePathFromText, bytePathToText, systemErrorCode, TsbuildError } from '../../core/index.ts';

/**
 * The bytes of a file of this machine, symlinks followed; undefined when there is none or it is no regular file.
 * @param limit bytes @throws TsbuildError `context-unreadable`, `file-too-large`
 */
export function readRegularFile(path: string, limit: number): Buffer | undefined {
  return readWithin(bytePathFromText(path), limit, () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
}

/**
 * @param path for messages
 * @param open gives a descriptor that is closed here, or undefined when there is no such file
 */
export function readWithin(path: string, limit: number, open: () => number | undefined): Buffer | undefined {
  const file = opened(path, open);
  if (file === undefined) return undefined;
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) return undefined;
    if (stat.size > limit) {
      throw new TsbuildError({
        code: 'file-too-large',
        message: `${bytePathToText(path)} has ${stat.size} bytes; at most ${limit} are read`,
        hint: 'Make the file smaller.',
      });
    }
    const bytes = Buffer.alloc(stat.size);
    let at = 0;
    while (at < bytes.length) {
      const count = readSync(file, bytes, at, bytes.length - at, at);
      if (count === 0) break;
      at += count;
    }
    return bytes.subarray(0, at);
  } finally {
    closeSync(file);
  }
}

export function contextUnreadable(path: string, reason: string, cause?: unknown): TsbuildError {
  return new TsbuildError({
    code: 'context-unreadable',
    message: `${bytePathToText(path)} cannot be read: ${reason}`,
    hint: replaced.has(reason)
      ? 'Run the command again when nothing writes to the build context.'
      : 'Make it readable, or name it in .dockerignore.',
    cause,
  });
}

/** What a directory that was just listed answers when something else has taken its place. */
const replaced: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EXDEV']);

function opened(path: string, open: () => number | undefined): number | undefined {
  try {
    return open();
  } catch (cause) {
    const code = systemErrorCode(cause) ?? 'an unknown error';
    // ENXIO: a socket, or a FIFO nobody writes to. ELOOP: a link was put where a file was.
    if (['ENOENT', 'ENOTDIR', 'ENXIO', 'ELOOP'].includes(code)) return undefined;
    throw contextUnreadable(path, code, cause);
  }
}
