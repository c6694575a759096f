// The action's entry. A checkout of the repository has no dist/: it is built on the runner, once. The native parts need
// the C compiler every GitHub runner has.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const entry = join(root, 'dist', 'action.js');

if (!existsSync(entry)) {
  console.log('::group::Building tsbuild');
  if (!existsSync(join(root, 'node_modules'))) run('ci', '--no-audit', '--no-fund', '--include=dev');
  run('run', 'build');
  console.log('::endgroup::');
}
await import(entry);

function run(...args) {
  const { status, error } = spawnSync('npm', args, { cwd: root, stdio: 'inherit' });
  if (status === 0) return;
  console.log(`::error::tsbuild could not be built: npm ${args[0]} ${error?.message ?? `ended with ${status}`}`);
  process.exit(1);
}
