/** Looks at what another process may remove at any moment: what is not there is an answer, not a failure. */
import { readdirSync, readFileSync } from 'node:fs';
import { systemErrorCode } from '../../core/index.ts';
import { storeFailure } from './failures.ts';

/** [] when there is no such folder. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw storeFailure(error, `cannot read ${folder}`);
  }
}

/** Undefined when there is no such file. */
export function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw storeFailure(error, `cannot read ${path}`);
  }
}
