// `npm run bench [-- --quick] [-- --only NAME]`: tsbuild beside buildah and docker build, on this machine, in one run.
// `npm run bench -- registry [--only pull|push|uptodate|small] [--runs N]`: as a registry client beside skopeo, buildah,
// podman and docker. Both are TypeScript and share the tests' way of starting the other tools: bundle, then run.
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const [word, ...rest] = process.argv.slice(2);
const name = word === 'registry' ? 'registry' : 'main';
// Two levels below the root, as test/support is: what it imports finds dist/ the same way.
const bundle = `${root}dist/bench/${name}.mjs`;
mkdirSync(`${root}dist/bench`, { recursive: true });
await build({
  absWorkingDir: root,
  entryPoints: [`bench/${name}.ts`],
  outfile: bundle,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.18',
  logLevel: 'warning',
});
const { main } = await import(bundle);
process.exitCode = await main(name === 'registry' ? rest : process.argv.slice(2), `${root}bench/results`);
