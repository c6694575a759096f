/** Programs for tests that need several real processes: a TypeScript file, bundled so that plain node runs it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { onTestFinished } from 'vitest';
import { temporaryFolder } from './store.ts';

const dist = fileURLToPath(new URL('../../dist', import.meta.url));

/** @param source path of the program, relative to `test/`  @returns path of a script for node */
export async function bundleProgram(source: string): Promise<string> {
  const folder = temporaryFolder('tsbuild-program-');
  // What the program finds beside itself is what the real one finds in dist/.
  for (const name of ['native', 'layers-worker.js', 'layers-hasher.js'])
    symlinkSync(join(dist, name), join(folder, name));
  await build({
    entryPoints: { program: fileURLToPath(new URL(`../${source}`, import.meta.url)) },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.18',
    external: ['zlib-sync', 'zstd-napi'],
    banner: { js: "import { createRequire as __cr } from 'node:module'; const require = __cr(import.meta.url);" },
    logLevel: 'error',
  });
  return join(folder, 'program.mjs');
}

export interface Program {
  readonly process: ChildProcess;
  /** Lines it printed so far. */
  readonly lines: string[];
  /** Resolves when it has printed something. */
  readonly started: Promise<void>;
  /** Resolves to the exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
  readonly errors: () => string;
}

export function startProgram(script: string, args: readonly string[]): Program {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  });
  const lines: string[] = [];
  let rest = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const started = once(child.stdout, 'data').then(() => {});
  const ended = once(child, 'close').then(([code, signal]) => (signal ?? code) as number | string);
  return { process: child, lines, started, ended, errors: () => errors };
}
