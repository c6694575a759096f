/** Directories with their parents. Node's own `recursive` never returns where a file system takes none, as /proc does. */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { systemErrorCode } from './errors.ts';

/** @param mode of those that are made, less the umask. @throws Error of the kernel: also EEXIST, where a file has the name */
export function makeDirectories(path: string, mode = 0o777): void {
  make(resolve(path), mode, false);
}

/** @param parentWasThere and yet there was no place for it */
function make(path: string, mode: number, parentWasThere: boolean): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST' && statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
    if (systemErrorCode(error) !== 'ENOENT' || parentWasThere) throw error;
    // Another process may have made the parent a moment ago.
    const parentIsThere = existsSync(dirname(path));
    if (!parentIsThere) make(dirname(path), mode, false);
    make(path, mode, parentIsThere);
  }
}
