// Builds everything that runs: the two native parts with the system's C compiler, then the TypeScript bundles.
// `node scripts/build.js` builds what is out of date; `--force` builds all; `--sanitize` adds a debug helper.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { include_dir as nodeApiHeaders } from 'node-api-headers';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const dist = join(root, 'dist');
const force = process.argv.includes('--force');
const warnings = ['-std=c11', '-Wall', '-Wextra', '-Wpedantic', '-Werror', '-D_GNU_SOURCE'];
const compiler = process.env.CC ?? 'cc';

const natives = [
  {
    source: 'src/sandbox/native',
    output: 'native/tsbuild-sandbox',
    flags: ['-O2', '-static', '-s', '-fstack-protector-strong'],
  },
  {
    source: 'src/layers/native',
    output: 'native/layers.node',
    flags: ['-O2', '-shared', '-fPIC', '-s', '-fvisibility=hidden', `-I${nodeApiHeaders}`],
  },
];

const bundles = {
  tsbuild: 'src/cli/main.ts',
  'layers-worker': 'src/layers/worker/main.ts',
  action: 'src/action/main.ts',
};

mkdirSync(join(dist, 'native'), { recursive: true });
for (const native of natives) compileNative(native);
await bundleAll();

function compileNative({ source, output, flags }) {
  const folder = join(root, source);
  const files = readdirSync(folder).map((name) => join(folder, name));
  const sources = files.filter((name) => name.endsWith('.c')).sort();
  const target = join(dist, output);
  if (sources.length === 0) return;
  const newest = Math.max(...files.map((name) => statSync(name).mtimeMs));
  if (!force && existsSync(target) && statSync(target).mtimeMs > newest) return;
  try {
    execFileSync(compiler, [...warnings, ...flags, '-o', `${target}.tmp`, ...sources], { stdio: 'inherit' });
  } catch (error) {
    if (error.code !== 'ENOENT') process.exit(1);
    console.error(
      `tsbuild's native parts need a C compiler; ${compiler} was not found. Install one (Debian: apt-get install gcc libc6-dev) or set CC.`,
    );
    process.exit(1);
  }
  renameSync(`${target}.tmp`, target);
}

async function bundleAll() {
  const entryPoints = Object.fromEntries(
    Object.entries(bundles).filter(([, source]) => existsSync(join(root, source))),
  );
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints,
    outdir: dist,
    bundle: true,
    // Every command reads what it runs: less text starts sooner. Names stay, for stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.18',
    chunkNames: 'chunk-[hash]',
    external: ['zlib-sync', 'zstd-napi'],
    // CommonJS dependencies call require(); an ES module has none of its own.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
    logLevel: 'warning',
    write: false,
  });
  // New files first, by renaming, and the old ones last: what is running meanwhile finds either a whole old or a whole new one.
  for (const { path, contents } of outputFiles) {
    if (existsSync(path) && readFileSync(path).equals(contents)) continue;
    writeFileSync(`${path}.tmp`, contents, { mode: path.endsWith('tsbuild.js') ? 0o755 : 0o644 });
    renameSync(`${path}.tmp`, path);
  }
  const current = new Set(outputFiles.map(({ path }) => basename(path)));
  for (const name of readdirSync(dist)) if (name.endsWith('.js') && !current.has(name)) rmSync(join(dist, name));
}
