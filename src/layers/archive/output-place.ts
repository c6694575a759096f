/**
 * Whether a place of the user's takes an output, asked before there is one: an hour's build is not to end with a typo. And
 * what is said where it does not.
 * Invariant: nothing is made or changed.
 */
import { constants } from 'node:fs';
import { access, lstat, realpath, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { systemErrorCode, TsbuildError } from '../../core/index.ts';

/** @throws TsbuildError `export-failed` when no file can be written under this name */
export async function checkOutputFile(path: string): Promise<void> {
  await naming(path, async () => {
    const kind = await kindOf(path);
    if (kind === 'folder') throw exportFailed(path, 'it is a folder', 'Name a file.');
    // A file is written beside and renamed.
    if (kind === 'special') await access(path, constants.W_OK);
    else await access(dirname(kind === 'file' ? await realpath(path) : resolve(path)), constants.W_OK | constants.X_OK);
  });
}

/** @throws TsbuildError `export-failed` when files cannot be put below this path, made where it is missing */
export async function checkOutputFolder(path: string): Promise<void> {
  await naming(path, async () => {
    for (let at = resolve(path); ; at = dirname(at)) {
      const kind = await kindOf(at);
      if (kind === 'folder') return access(at, constants.W_OK | constants.X_OK);
      if (kind !== 'nothing') throw noFolder(at);
      if (await isLink(at)) throw exportFailed(at, 'it is a symbolic link that leads nowhere', 'Make what it names.');
    }
  });
}

export async function kindOf(path: string): Promise<'file' | 'folder' | 'special' | 'nothing'> {
  try {
    const status = await stat(path);
    return status.isFile() ? 'file' : status.isDirectory() ? 'folder' : 'special';
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return 'nothing';
    throw error;
  }
}

async function isLink(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSymbolicLink();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

async function naming(path: string, check: () => Promise<void>): Promise<void> {
  try {
    await check();
  } catch (error) {
    throw outputFailure(path, error);
  }
}

/** What the system said while an output was written, as an error that names the output; errors of our own stay. */
export function outputFailure(path: string, error: unknown): unknown {
  const code = systemErrorCode(error);
  if (error instanceof TsbuildError || code === undefined) return error;
  return exportFailed(path, reasons[code] ?? String(error), hints[code] ?? 'Choose a place you may write to.', error);
}

export function noFolder(path: string): TsbuildError {
  return exportFailed(path, 'it is no folder, and the files go into one', 'Name another destination.');
}

export function exportFailed(path: string, why: string, hint: string, cause?: unknown): TsbuildError {
  return new TsbuildError({
    code: 'export-failed',
    message: `cannot write ${path}: ${why}`,
    hint,
    ...(cause !== undefined && { cause }),
  });
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'its folder does not exist',
  ENOTDIR: 'what it says is a folder is none',
  ENOSPC: 'no space is left on the disk',
  EDQUOT: 'the quota of the disk is used up',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  EPIPE: 'its reader went away',
};
const hints: Readonly<Record<string, string>> = {
  ENOENT: 'Make the folder first.',
  ENOSPC: 'Free some space, or write elsewhere.',
  EDQUOT: 'Free some space, or write elsewhere.',
};
