/**
 * Tests run the built parts (the helper, the addon, the worker, the command line): build them once, before all tests.
 * TSBUILD_SKIP_BUILD=1 leaves dist/ as it is, for working on one pure module.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export function setup(): void {
  if (process.env.TSBUILD_SKIP_BUILD === '1') return;
  execFileSync(process.execPath, [fileURLToPath(new URL('../../scripts/build.js', import.meta.url))], {
    stdio: 'inherit',
  });
}
