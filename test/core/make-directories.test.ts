import { statSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { makeDirectories } from '../../src/core/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

test('directories are made with their parents, and may be there already', async () => {
  await using folder = temporaryFolder('directories');
  for (let i = 0; i < 2; i += 1) makeDirectories(folder.join('a/b/c'), 0o700);
  expect(statSync(folder.join('a/b')).mode & 0o777).toBe(0o700);
});

test('what cannot be made is the error of the kernel, not waiting', async () => {
  await using folder = temporaryFolder('directories');
  writeFileSync(folder.join('file'), '');
  expect(() => makeDirectories(folder.join('file'))).toThrow(/EEXIST/);
  expect(() => makeDirectories(folder.join('file/below/it'))).toThrow(/ENOTDIR/);
  for (const path of ['/proc/none', '/proc/none/below/it']) expect(() => makeDirectories(path)).toThrow(/ENOENT/);
});
