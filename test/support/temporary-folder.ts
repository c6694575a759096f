/** A private folder under os.tmpdir() that is gone when its owner is disposed of. */
import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './command.ts';

export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string;
  join(...parts: string[]): string;
}

/** @param mode 0o700 unless other users (an engine, an ordinary user) must enter */
export function temporaryFolder(name: string, mode = 0o700): TemporaryFolder {
  const path = mkdtempSync(join(tmpdir(), `tsbuild-${name}-`));
  chmodSync(path, mode);
  return {
    path,
    join: (...parts) => join(path, ...parts),
    async [Symbol.asyncDispose]() {
      // rm, not fs.rm: trees of images hold names that are not UTF-8 and directories without permissions. Never across a mount.
      await run('rm', ['-rf', '--one-file-system', path]);
    },
  };
}
