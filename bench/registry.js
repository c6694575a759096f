// `node bench/registry.js [--only NAME] [--runs N]`: tsbuild as a registry client beside skopeo, buildah and docker.
// Bundled like bench/run.js, because it shares the tests' way of starting the other tools.
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const bundle = `${root}dist/bench/registry.mjs`;
mkdirSync(`${root}dist/bench`, { recursive: true });
await build({
  absWorkingDir: root,
  entryPoints: ['bench/registry.ts'],
  outfile: bundle,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.18',
  logLevel: 'warning',
});
const { main } = await import(bundle);
process.exitCode = await main(process.argv.slice(2));
