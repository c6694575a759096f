/** tsbuild as a whole inside a user namespace: what it sees, and how it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync } from 'node:fs';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { distPath } from '../../src/core/index.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { processesWith, until } from './support/process-table.ts';
import { cannotTest } from './support/step-runner.ts';

/** No user has it. */
const ordinary = 54_322;
const reason = await cannotTest('single');

const program = `
import { reexecInUserNamespace, wantsUserNamespace } from './src/sandbox/index.ts';
const { argv, execPath, execArgv, env } = process;
if (wantsUserNamespace('auto', env)) {
  process.exit(await reexecInUserNamespace({ argv: [execPath, ...execArgv, ...argv.slice(1)], env }));
}
const mode = argv[2];
if (mode === 'id') console.log(process.getuid(), process.getgid(), env.KEPT);
if (mode === 'exit') process.exitCode = 7;
if (mode === 'echo') process.stdin.pipe(process.stdout);
if (mode === 'die') process.kill(process.pid, 'SIGKILL');
if (mode === 'wait') {
  let seen = 0;
  const count = (signal) => { seen += 1; console.log(signal); setTimeout(() => process.exit(seen), 200); };
  process.on('SIGTERM', count);
  process.on('SIGINT', count);
  setInterval(() => {}, 1000);
  console.log('ready');
}
`;

describe.skipIf(reason !== undefined)(`an ordinary user${reason ? ` (skipped: ${reason})` : ''}`, () => {
  let folder: TemporaryFolder;
  beforeAll(async () => {
    folder = temporaryFolder('reexec', 0o755);
    await build({
      stdin: { contents: program, resolveDir: new URL('../..', import.meta.url).pathname, loader: 'ts' },
      outfile: folder.join('program.mjs'),
      bundle: true,
      format: 'esm',
      platform: 'node',
      logLevel: 'error',
    });
    mkdirSync(folder.join('native'));
    chmodSync(folder.join('native'), 0o755);
    copyFileSync(distPath('native/tsbuild-sandbox'), folder.join('native/tsbuild-sandbox'));
  });
  afterAll(async () => {
    await folder[Symbol.asyncDispose]();
  });

  const start = (mode: string): ChildProcess =>
    spawn(process.execPath, [folder.join('program.mjs'), mode], {
      uid: ordinary,
      gid: ordinary,
      env: { PATH: process.env.PATH, KEPT: 'kept' },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });

  test('is root inside, with the same environment', async () => {
    expect(await end(start('id'))).toMatchObject({ code: 0, out: '0 0 kept\n' });
  });

  test('gets the exit code of the program inside', async () => {
    expect(await end(start('exit'))).toMatchObject({ code: 7 });
  });

  test('keeps stdin and stdout', async () => {
    const child = start('echo');
    child.stdin?.end('through and through');
    expect(await end(child)).toMatchObject({ code: 0, out: 'through and through' });
  });

  test('learns of a signal that ended the program inside', async () => {
    expect(await end(start('die'))).toMatchObject({ code: 137 });
  });

  test('passes a signal on once', async () => {
    const child = start('wait');
    child.stdout?.once('data', () => child.kill('SIGTERM'));
    expect(await end(child)).toMatchObject({ code: 1, out: 'ready\nSIGTERM\n' });
  });

  test('passes on once a signal that reaches the whole process group, as one of a terminal does', async () => {
    const child = start('wait');
    child.stdout?.once('data', () => child.pid !== undefined && process.kill(-child.pid, 'SIGINT'));
    const { out } = await end(child);
    expect(out.startsWith('ready\nSIGINT\n')).toBe(true);
  });

  test('leaves nothing running when it is killed', async () => {
    const child = start('wait');
    child.stdout?.once('data', () => child.kill('SIGKILL'));
    await end(child);
    expect(await until(() => processesWith(folder.join('program.mjs')).length === 0)).toBe(true);
  });
});

function end(
  child: ChildProcess,
): Promise<{ readonly code: number | null; readonly out: string; readonly err: string }> {
  let out = '';
  let err = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    err += chunk.toString();
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })));
}
