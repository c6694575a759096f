/**
 * Tests run the built parts (the helper, the addon, the worker, the command line): build them once, before all tests.
 * TSBUILD_SKIP_BUILD=1 leaves dist/ as it is, for working on one pure module.
 * Afterwards nothing may be left of the whole run: no file, process, mount or control group.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { leftovers } from './leftovers.ts';

/** @returns the teardown */
export function setup(): () => Promise<void> {
  const since = Date.now();
  // A short name: sockets below it have 108 bytes for theirs.
  const folder = mkdtempSync(join(tmpdir(), 'tsb-'));
  chmodSync(folder, 0o1777);
  process.env.TMPDIR = folder;
  if (process.env.TSBUILD_SKIP_BUILD !== '1') {
    execFileSync(process.execPath, [fileURLToPath(new URL('../../scripts/build.js', import.meta.url))], {
      stdio: 'inherit',
    });
  }
  return async () => {
    let left = leftovers(folder, since);
    // What was ended may take a moment to be gone.
    for (let waited = 0; left.length > 0 && waited < 300; waited++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      left = leftovers(folder, since);
    }
    if (left.length > 0) {
      // An error here is printed, but fails no run by itself.
      process.exitCode = 1;
      throw new Error(`the tests left something behind:\n${left.join('\n')}`);
    }
    execFileSync('rm', ['-rf', '--one-file-system', folder]);
  };
}
