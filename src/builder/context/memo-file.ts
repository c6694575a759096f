/** Files of the store's `cache/` that spare work and nothing else: one that cannot be read or written is done without. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeDirectories, systemErrorCode } from '../../core/index.ts';

/** @param name of a file for one context */
export function memoFile(storeRoot: string, name: string): string {
  return join(storeRoot, 'cache', 'context-hashes', name);
}

export function readMemoFile(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch (error) {
    // ENOENT is the first build; anything else is treated the same.
    if (systemErrorCode(error) === undefined) throw error;
    return undefined;
  }
}

/** One writev(2) takes this many. */
const mostPieces = 1024;

/** @returns whether it was written; otherwise what was there stays */
export async function writeMemoFile(path: string, pieces: readonly Uint8Array[]): Promise<boolean> {
  const draft = `${path}.${randomUUID()}`;
  try {
    makeDirectories(dirname(path), 0o700);
    const file = await open(draft, 'wx', 0o600);
    try {
      for (let at = 0; at < pieces.length; at += mostPieces) {
        const some = pieces.slice(at, at + mostPieces);
        const { bytesWritten } = await file.writev(some);
        if (bytesWritten < some.reduce((sum, { byteLength }) => sum + byteLength, 0))
          throw new Error('the disk is full');
      }
    } finally {
      await file.close();
    }
    await rename(draft, path);
    return true;
  } catch {
    // Any cause: ENOSPC, EROFS, EACCES, ...
    await rm(draft, { force: true }).catch(() => {});
    return false;
  }
}
