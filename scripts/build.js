// Builds everything that runs: the two native parts with the system's C compiler, then the TypeScript bundles.
// `node scripts/build.js` builds what is out of date; `--force` builds all; `--sanitize` adds a debug helper.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { include_dir as nodeApiHeaders } from 'node-api-headers';

const require = createRequire(import.meta.url);
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
    flags: ['-O2', '-shared', '-fPIC', '-pthread', '-s', '-fvisibility=hidden', `-I${nodeApiHeaders}`],
  },
];

/** undici is as large as everything else together: what speaks to a server directly, and the whole, which knows proxies. */
const undiciParts = { 'undici-agent': 'undici/lib/dispatcher/agent.js', undici: 'undici' };

const bundles = {
  'layers-worker': 'src/layers/worker/main.ts',
  'layers-hasher': 'src/layers/worker/hash-main.ts',
  action: 'src/action/main.ts',
};

const moduleUrl = "const __moduleUrl = require('node:url').pathToFileURL(__filename).href;";

/**
 * Commands that only ask something have a program of their own: to read the text of the builder takes them longer than what
 * they do.
 */
const queries = ['catalog', 'digest', 'inspect', 'ls', 'manifest', 'referrers'];

const queriesOnly = {
  name: 'queries-only',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.\/commands\/.+\.ts$/ }, ({ path, importer }) =>
      basename(importer) === 'command-table.ts' && !queries.includes(basename(path, '.ts'))
        ? { path, namespace: 'elsewhere' }
        : undefined,
    );
    onLoad({ filter: /./, namespace: 'elsewhere' }, () => ({ contents: 'module.exports = {};' }));
  },
};

/** A file of its own for each part of undici: most commands need none of it. */
const undiciApart = (files) => ({
  name: 'undici-apart',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^undici(\/|$)/ }, ({ path }) => ({ path, namespace: 'undici' }));
    onResolve({ filter: /^\.\/undici-[0-9a-z-]+\.js$/ }, ({ path }) => ({ path, external: true }));
    onLoad({ filter: /./, namespace: 'undici' }, ({ path }) => ({
      contents: `module.exports = require('./${files[path]}');`,
    }));
  },
});

/**
 * Parts of Node that undici loads at once and hardly needs: HTTP/2, which no server is asked for; HTTP, of which it wants
 * to know a type of streams nobody gives it and the size headers may have; what a failed assertion says.
 */
const partsLater = {
  name: 'parts-later',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.\/client-h2\.js$/ }, ({ path, importer, resolveDir }) =>
      basename(importer) === 'client.js' ? { path: join(resolveDir, path), namespace: 'later' } : undefined,
    );
    onLoad({ filter: /./, namespace: 'later' }, ({ path }) => ({
      contents: `module.exports = (...given) => require(${JSON.stringify(path)})(...given);`,
      resolveDir: dirname(path),
    }));
    onResolve({ filter: /^node:(assert|http)$/ }, ({ path, importer }) =>
      path === 'node:assert' || /\/(core\/util|dispatcher\/client)\.js$/.test(importer)
        ? { path, namespace: 'instead' }
        : undefined,
    );
    const instead = {
      'node:assert': `module.exports = (fact, ...said) => fact || require('assert')(fact, ...said);`,
      'node:http': 'module.exports = { maxHeaderSize: 16384 };',
    };
    onLoad({ filter: /./, namespace: 'instead' }, ({ path }) => ({ contents: instead[path] }));
  },
};

/**
 * A part of Node is loaded when a function of it is first called: loading them all takes longer than a cached build.
 * What Node itself has loaded by then needs no such care.
 */
const lazyBuiltins = {
  name: 'lazy-builtins',
  setup({ onResolve, onLoad }) {
    const early = new Set([
      'node:fs',
      'node:path',
      'node:path/posix',
      'node:events',
      'node:buffer',
      'node:url',
      'node:util',
    ]);
    onResolve({ filter: /^node:/ }, ({ path, namespace }) =>
      early.has(path) || namespace === 'lazy' ? { path, external: true } : { path, namespace: 'lazy' },
    );
    onLoad({ filter: /./, namespace: 'lazy' }, ({ path }) => {
      // In a bundle the module's own require() serves.
      if (path === 'node:module') return { contents: 'module.exports = { createRequire: () => require };' };
      const id = JSON.stringify(path);
      const names = Object.keys(require(path)).filter((name) => name !== 'default');
      const getters = names.map(
        (name) => `get ${JSON.stringify(name)}() { return require(${id})[${JSON.stringify(name)}]; }`,
      );
      return { contents: `module.exports = { ${getters.join(', ')} };` };
    });
  },
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
  const undici = await bundle(undiciParts, { plugins: [partsLater] });
  const undiciFiles = {};
  for (const part of undici) {
    const name = part.name.replace(/\.js$/, '');
    part.name = `${name}-${shortHash(part)}.js`;
    undiciFiles[undiciParts[name]] = part.name;
  }
  const options = { plugins: [undiciApart(undiciFiles), lazyBuiltins], banner: { js: moduleUrl } };
  const bundled = await bundle(bundles, options);
  // A function, called by the launcher.
  const called = { banner: { js: `(function (require, __filename) { ${moduleUrl}` }, footer: { js: '})' } };
  const [program] = await bundle({ program: 'src/cli/main.ts' }, { ...options, ...called });
  const plugins = [queriesOnly, ...options.plugins];
  const [query] = await bundle({ query: 'src/cli/main.ts' }, { ...options, ...called, plugins });
  program.name = `program-${shortHash(program)}.js`;
  query.name = `query-${shortHash(query)}.js`;
  const define = {
    PROGRAM: JSON.stringify(program.name),
    QUERY: JSON.stringify(query.name),
    QUERIES: JSON.stringify(queries),
  };
  const launcher = await bundle({ tsbuild: 'src/cli/launch.ts' }, { define });
  const files = [
    program,
    query,
    ...bundled,
    ...undici,
    { name: 'package.json', contents: '{"type":"commonjs"}\n' },
    ...launcher,
  ];
  // New files first, by renaming, and the old ones last: what is running meanwhile finds either a whole old or a whole new one.
  for (const { name, contents } of files) {
    const path = join(dist, name);
    if (existsSync(path) && readFileSync(path).equals(Buffer.from(contents))) continue;
    writeFileSync(`${path}.tmp`, contents, { mode: name === 'tsbuild.js' ? 0o755 : 0o644 });
    renameSync(`${path}.tmp`, path);
  }
  const isCurrent = (name) => files.some((file) => name === file.name || name.startsWith(`${file.name}.`));
  for (const name of readdirSync(dist)) if (/\.(js|code)$/.test(name) && !isCurrent(name)) rmSync(join(dist, name));
}

function shortHash({ contents }) {
  return createHash('sha256').update(contents).digest('hex').slice(0, 12);
}

/** Each entry becomes one file: reading one large file starts sooner than resolving forty small ones. */
async function bundle(entryPoints, options = {}) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints,
    outdir: dist,
    bundle: true,
    // Every command reads what it runs: less text starts sooner. Names stay, for stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    format: 'cjs',
    platform: 'node',
    target: 'node20.18',
    // import() of what is bundled becomes a function call; of what is not, require().
    supported: { 'dynamic-import': false },
    external: ['zlib-sync', 'zstd-napi'],
    logLevel: 'warning',
    write: false,
    define: { 'import.meta.url': '__moduleUrl' },
    ...options,
  });
  return outputFiles.map(({ path, contents }) => ({ name: basename(path), contents }));
}
