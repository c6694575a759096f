/** Shared security rule 4: another process swaps a directory for a symlink that leads out, between any check and any use. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type BytePath, isTsbuildError } from '../../../src/core/index.ts';
import { digestOf } from '../../../src/image/index.ts';
import { applyPlain } from '../../../src/layers/worker/blob-jobs.ts';
import { hashContents } from '../../../src/layers/worker/hash-contents.ts';
import { archiveOf, neverAborted } from '../../support/layer-jobs.ts';
import { describeTree, treeDifferences } from '../../support/layer-trees.ts';
import { type TemporaryFolder, temporaryFolder } from '../../support/temporary-folder.ts';

let folder: TemporaryFolder;
beforeEach(() => {
  folder = temporaryFolder('swapped');
  mkdirSync(folder.join('outside'));
  writeFileSync(folder.join('outside/file'), 'outside');
  mkdirSync(folder.join('root/d'), { recursive: true });
  writeFileSync(folder.join('root/d/file'), 'inside');
  symlinkSync(folder.join('outside'), folder.join('root/out'));
});
afterEach(() => folder[Symbol.asyncDispose]());

/** `d` is the directory and the symlink by turns until the end. */
async function swapping(): Promise<AsyncDisposable> {
  const script = `const { mkdirSync, renameSync: mv, rmSync, symlinkSync } = require('node:fs');
    process.chdir(process.argv[1]); console.log('on'); process.stdin.on('end', () => process.exit()).resume();
    const again = () => {
      for (const name of ['d', 'x', 'out']) rmSync(name, { recursive: true, force: true });
      mkdirSync('d'); symlinkSync('../outside', 'out');
    };
    const attempt = (deed, otherwise) => { try { deed(); } catch { otherwise(); } };
    const swap = () => { mv('d', 'x'); mv('out', 'd'); mv('d', 'out'); mv('x', 'd'); };
    const turn = () => { for (let i = 0; i < 50; i++) attempt(swap, () => attempt(again, () => {})); setImmediate(turn); };
    turn();`;
  const child = spawn(process.execPath, ['-e', script, folder.join('root')], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  return {
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}

test('a content that is read comes from inside or not at all', async () => {
  await using _swapper = await swapping();
  const content = { kind: 'file', root: folder.join('root'), path: 'd/file' as BytePath } as const;
  const seen = new Set<string>();
  for (let i = 0; i < 5000; i += 1) {
    try {
      seen.add(hashContents({ contents: [content] }, neverAborted).digests[0] ?? '');
    } catch (error) {
      if (!isTsbuildError(error)) throw error;
      expect(error.code).toMatch(/^layer-source-/);
    }
  }
  expect([...seen].filter((digest) => digest !== digestOf('inside'))).toEqual([]);
});

test('a layer that is unpacked makes, changes and removes nothing outside', async () => {
  const before = describeTree(folder.join('outside'));
  const archive = archiveOf([
    { path: 'd/file', content: 'new' },
    { path: 'd/made', content: 'new' },
    { path: 'd/.wh.file' },
    { path: 'd', kind: 'directory', mode: 0o711 },
  ]);
  const blob = folder.join('blob');
  writeFileSync(blob, archive);
  const input = { blob, compression: 'uncompressed', diffId: digestOf(archive), target: folder.join('root') } as const;
  {
    await using _swapper = await swapping();
    for (let i = 0; i < 500; i += 1) {
      // What it makes of a root that changes under it is not defined; where it makes it is.
      await applyPlain(input, neverAborted).catch((error: unknown) => expect(isTsbuildError(error)).toBe(true));
    }
  }
  expect(treeDifferences(before, describeTree(folder.join('outside')))).toEqual([]);
});
