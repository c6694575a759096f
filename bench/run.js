// `npm run bench [-- --quick] [-- --only NAME]`: tsbuild beside buildah and docker build, on this machine, in one run.
// The benchmark is TypeScript and shares the tests' way of starting the other tools: bundle it, then run it.
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
// Two levels below the root, as test/support is: what it imports finds dist/ the same way.
const bundle = `${root}dist/bench/main.mjs`;
mkdirSync(`${root}dist/bench`, { recursive: true });
await build({
  absWorkingDir: root,
  entryPoints: ['bench/main.ts'],
  outfile: bundle,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.18',
  logLevel: 'warning',
});
const { main } = await import(bundle);
process.exitCode = await main(process.argv.slice(2), `${root}bench/results`);
