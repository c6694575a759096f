/** Files of the store's `cache/` that spare work and nothing else: one that cannot be read or written is done without. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
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

/** @returns whether it was written; otherwise what was there stays */
export async function writeMemoFile(file: string, content: () => Buffer): Promise<boolean> {
  const draft = `${file}.${randomUUID()}`;
  try {
    makeDirectories(dirname(file), 0o700);
    await writeFile(draft, content(), { mode: 0o600 });
    await rename(draft, file);
    return true;
  } catch {
    // Any cause: ENOSPC, EROFS, EACCES, ...
    await rm(draft, { force: true }).catch(() => {});
    return false;
  }
}
