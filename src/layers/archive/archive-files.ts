/**
 * The files inside an archive of images, whether it is a folder or a tar, read at any place without unpacking.
 * Invariants: a name that leads outside is not found; only regular files are read; sizes are those of the files
 * themselves, never what a document claims.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode, throwIfAborted } from '../../core/index.ts';
import { readAt } from '../store/read-at.ts';
import { archiveInvalid } from './archive-errors.ts';
import { memberName, scanTar } from './scan-tar.ts';

const chunkSize = 512 * 1024;

export interface ArchiveFiles extends AsyncDisposable {
  /** As the user named it. */
  readonly place: string;
  /** Bytes; undefined when there is no such regular file. */
  size(path: string): Promise<number | undefined>;
  /** From `start` to the end, or at most `length` bytes. @throws TsbuildError `image-archive-invalid` */
  read(path: string, range: ReadRange): AsyncIterable<Uint8Array>;
}

export interface ReadRange {
  readonly signal: AbortSignal;
  /** Bytes. Default: all. */
  readonly length?: number;
}

export function folderFiles(folder: string): ArchiveFiles {
  const openFile = (path: string): { file: number; size: number } | undefined => {
    if (!isPlainPath(path)) return undefined;
    try {
      // Without O_NONBLOCK, a FIFO in a hostile folder would be waited for.
      const file = openSync(join(folder, path), constants.O_RDONLY | constants.O_NONBLOCK);
      const status = fstatSync(file);
      if (status.isFile()) return { file, size: status.size };
      closeSync(file);
      return undefined;
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENXIO' || code === 'ELOOP') return undefined;
      throw archiveInvalid(folder, `cannot read ${path}`, error);
    }
  };
  return {
    place: folder,
    size: async (path) => {
      const opened = openFile(path);
      if (opened) closeSync(opened.file);
      return opened?.size;
    },
    async *read(path, range) {
      const opened = openFile(path);
      if (opened === undefined) throw archiveInvalid(folder, `it has no file ${path}`);
      try {
        yield* readRange(opened.file, 0, Math.min(opened.size, range.length ?? opened.size), range.signal);
      } finally {
        closeSync(opened.file);
      }
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

/** @param file path of an uncompressed tar  @param place how the user named it */
export async function tarFiles(file: string, place: string): Promise<ArchiveFiles> {
  const handle = await open(file, constants.O_RDONLY);
  try {
    const members = await scanTar(handle, place);
    const find = (path: string, depth = 0): { readonly offset: number; readonly size: number } | undefined => {
      const member = members.get(memberName(path));
      if (member?.kind !== 'link') return member;
      // `docker save` of old wrote a layer that two images share as a symlink to the other's.
      return depth > 8 ? undefined : find(member.target, depth + 1);
    };
    return {
      place,
      size: async (path) => find(path)?.size,
      async *read(path, range) {
        const member = find(path);
        if (member === undefined) throw archiveInvalid(place, `it has no file ${path}`);
        yield* readRange(handle.fd, member.offset, Math.min(member.size, range.length ?? member.size), range.signal);
      },
      [Symbol.asyncDispose]: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function* readRange(
  file: number,
  start: number,
  length: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < length; ) {
    throwIfAborted(signal);
    const buffer = Buffer.allocUnsafeSlow(Math.min(chunkSize, length - done));
    const piece = await readAt(file, buffer, start + done);
    if (piece.length === 0) return;
    done += piece.length;
    yield piece;
  }
}

/** Names come out of documents the archive's author wrote. */
function isPlainPath(path: string): boolean {
  return !path.startsWith('/') && !path.split('/').includes('..') && !path.includes('\0');
}
