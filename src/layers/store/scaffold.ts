/** The lowest layer of a step's overlay: the places the sandbox mounts at, so that no step has to make and remove them. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { storeFailure } from './failures.ts';

/** @param paths relative; a directory ends in `/`, and what lies above a path is made with it */
export function makeScaffold(folder: string, paths: readonly string[]): void {
  const made = new Set<string>();
  const makeDirectory = (path: string): void => {
    if (path === '.' || made.has(path)) return;
    makeDirectory(dirname(path));
    mkdirSync(join(folder, path));
    // The umask took bits away.
    chmodSync(join(folder, path), 0o755);
    made.add(path);
  };
  try {
    chmodSync(folder, 0o755);
    for (const path of paths) {
      makeDirectory(path.endsWith('/') ? path.slice(0, -1) : dirname(path));
      if (path.endsWith('/')) continue;
      writeFileSync(join(folder, path), '', { flag: 'wx' });
      chmodSync(join(folder, path), 0o644);
    }
  } catch (error) {
    throw storeFailure(error, `cannot write ${folder}`);
  }
}
