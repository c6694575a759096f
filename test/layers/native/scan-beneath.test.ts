import { closeSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { BytePath } from '../../../src/core/index.ts';
import { openFileBeneath, scanBeneath, stampInode, stampWords, statBeneath } from '../../../src/layers/index.ts';
import { bash, temporaryFolder } from '../../support/layer-trees.ts';

const path = (text: string) => text as BytePath;
let folder: ReturnType<typeof temporaryFolder>;

beforeEach(() => {
  folder = temporaryFolder('scan');
});
afterEach(() => folder.remove());

test('a directory is listed in byte order, with the texts of its links', () => {
  const names = ['a', 'a b', 'a.b', 'ab', 'B', '\xc3\xa9', 'a\nb'];
  for (const name of names) writeFileSync(Buffer.from(join(folder.path, name), 'latin1'), name);
  symlinkSync('/etc/passwd', join(folder.path, 'link'));
  const { records, links } = scanBeneath(folder.path, path(''));
  expect(records.names).toEqual([...names, 'link'].sort());
  expect([...links]).toEqual([['link', '/etc/passwd']]);
  const at = records.names.indexOf(path('a.b'));
  expect(records.number(at, 'size')).toBe(3);
  expect(records.integer(at, 'mtime')).toBe(statSync(join(folder.path, 'a.b'), { bigint: true }).mtimeNs);
});

test('a large directory is listed whole', () => {
  for (let file = 0; file < 3000; file++) writeFileSync(join(folder.path, `a-rather-long-name-of-a-file-${file}`), '');
  const { names } = scanBeneath(folder.path, path('')).records;
  expect(names).toHaveLength(3000);
  expect(names).toEqual([...names].sort());
});

test('a stamp is equal to itself only', () => {
  writeFileSync(join(folder.path, 'a'), '1');
  writeFileSync(join(folder.path, 'b'), '1');
  const { records } = scanBeneath(folder.path, path(''));
  const stamps = new Int32Array(2 * stampWords);
  records.copyStamp(0, stamps, stampWords);
  expect(records.hasStamp(0, stamps, stampWords)).toBe(true);
  expect(records.hasStamp(0, stamps, 0)).toBe(false);
  expect(records.hasStamp(1, stamps, stampWords)).toBe(false);
  expect(stampInode(stamps, stampWords)).toBe(statSync(join(folder.path, 'a')).ino);
  bash('printf 2 > a', folder.path);
  expect(scanBeneath(folder.path, path('')).records.hasStamp(0, stamps, stampWords)).toBe(false);
});

test('only regular files are opened, and nothing is waited for', () => {
  mkdirSync(join(folder.path, 'd'));
  writeFileSync(join(folder.path, 'd/f'), 'content');
  bash('mkfifo d/pipe; ln -s f d/link; ln -s d up', folder.path);
  const fd = openFileBeneath(folder.path, path('d/f'));
  if (fd === undefined) throw new Error('a regular file was not opened');
  expect(readFileSync(fd, 'utf8')).toBe('content');
  closeSync(fd);
  expect(openFileBeneath(folder.path, path('d/pipe'))).toBeUndefined();
  expect(openFileBeneath(folder.path, path('d'))).toBeUndefined();
  for (const name of ['d/link', 'up/f', '../f', 'd/none']) {
    expect(() => openFileBeneath(folder.path, path(name))).toThrow(/ELOOP|EXDEV|ENOENT/);
  }
  expect(statBeneath(folder.path, path('d/none'))).toBeUndefined();
  expect(() => statBeneath(folder.path, path('up/f'))).toThrow(/ELOOP|ENOTDIR/);
});
