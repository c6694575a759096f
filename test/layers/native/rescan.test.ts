import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BytePath } from '../../../src/core/index.ts';
import { Rescan, recordListings, scanBeneath } from '../../../src/layers/index.ts';
import { temporaryFolder } from '../../support/layer-trees.ts';

let folder: ReturnType<typeof temporaryFolder>;
const at = (name: string) => join(folder.path, name);
const path = (text: string) => text as BytePath;
const directories = ['', 'd', 'd/empty', 'd/\xc3\xa9', 'e'].map(path);

beforeEach(() => {
  folder = temporaryFolder('rescan');
  for (const name of ['d', 'd/empty', 'd/é', 'e']) mkdirSync(at(name));
  for (const name of ['a', 'd/b', 'd/é/c', 'e/f']) writeFileSync(at(name), 'text');
  symlinkSync('a', at('link'));
});
afterEach(() => folder.remove());

const record = () =>
  Buffer.concat(recordListings(new Map(directories.map((name) => [name, scanBeneath(folder.path, name).listing]))));

/** The directories whose listing is another one. */
function differing(kept: Buffer): string[] {
  const rescan = new Rescan(folder.path, kept);
  const before = new Rescan(folder.path, kept).listings();
  const changed = directories.filter((name) => !before.get(name)?.equals(keptListing(kept, name)));
  expect(rescan.isSame()).toBe(changed.length === 0);
  return changed;
}

/** What the record says, read without the class under test. */
function keptListing(kept: Buffer, name: BytePath): Buffer {
  for (let from = 0; from < kept.length; ) {
    const [length, size] = [kept.readUInt32LE(from), kept.readUInt32LE(from + 8)];
    const listing = from + 16 + (Math.floor(length / 8) + 1) * 8;
    if (kept.toString('latin1', from + 16, from + 16 + length) === name) return kept.subarray(listing, listing + size);
    from = listing + size;
  }
  throw new Error(`the record has no ${name}`);
}

test('what has not changed is the same, and is listed as scanning would', () => {
  const kept = record();
  expect(differing(kept)).toEqual([]);
  const rescan = new Rescan(folder.path, kept);
  for (const name of directories) {
    const found = rescan.directory(name);
    const now = scanBeneath(folder.path, name);
    expect(found?.records.names).toEqual(now.records.names);
    expect(found?.links).toEqual(now.links);
  }
  expect(rescan.directory(path(''))?.links.get(path('link'))).toBe('a');
  expect(rescan.directory(path('d/none'))).toBeUndefined();
});

/** Each with the directories in which it shows. */
const changes: Readonly<Record<string, readonly [() => void, readonly string[]]>> = {
  'a file with more content': [() => writeFileSync(at('d/b'), 'more text'), ['d']],
  'a file with other permissions': [() => chmodSync(at('e/f'), 0o600), ['e']],
  'a file with another time': [() => utimesSync(at('a'), 1, 1), ['']],
  'a renamed file': [() => renameSync(at('d/b'), at('d/c')), ['', 'd']],
  'a removed file': [() => unlinkSync(at('d/é/c')), ['d', 'd/é']],
  'a new file': [() => writeFileSync(at('d/empty/new'), ''), ['d', 'd/empty']],
  'a new empty directory': [() => mkdirSync(at('e/new')), ['', 'e']],
  'a further name of a file': [() => linkSync(at('a'), at('e/a')), ['', 'e']],
  'a file in the place of another, of the same size and time': [
    () => {
      const { atime, mtime } = statSync(at('e/f'));
      writeFileSync(at('e/g'), 'TEXT');
      utimesSync(at('e/g'), atime, mtime);
      renameSync(at('e/g'), at('e/f'));
    },
    ['', 'e'],
  ],
  'a link to something else': [
    () => {
      symlinkSync('b', at('new'));
      renameSync(at('new'), at('link'));
    },
    [''],
  ],
};

describe('a change is seen:', () => {
  for (const [name, [change, where]] of Object.entries(changes)) {
    test(name, () => {
      const kept = record();
      change();
      expect(differing(kept)).toEqual(where.map((one) => Buffer.from(one).toString('latin1')));
    });
  }

  test('a directory that is gone, or is a link now, is not listed', () => {
    const kept = record();
    rmSync(at('d/empty'), { recursive: true });
    renameSync(at('e'), at('d/empty'));
    symlinkSync('d', at('e'));
    const rescan = new Rescan(folder.path, kept);
    expect(rescan.isSame()).toBe(false);
    expect(rescan.directory(path('e'))).toBeUndefined();
    expect(rescan.directory(path('d/empty'))?.records.names).toEqual(['f']);
  });
});

test('a file that changed after it was looked at is not taken for a link', () => {
  const kept = record();
  const rescan = new Rescan(folder.path, kept);
  expect(rescan.isSame()).toBe(true);
  unlinkSync(at('link'));
  writeFileSync(at('link'), '');
  expect(rescan.directory(path(''))).toBeUndefined();
});

test('a damaged record is the same as nothing', () => {
  const kept = record();
  for (const length of [1, 8, 20, kept.length - 8, kept.length - 1]) {
    const rescan = new Rescan(folder.path, kept.subarray(0, length));
    expect([rescan.isSame(), rescan.listings().size]).toEqual([false, 0]);
  }
  for (const [offset, byte] of [
    [4, 1],
    [8, 7],
    [12, 1],
    [0, 200],
  ] as const) {
    const damaged = Buffer.from(kept);
    damaged[offset] = byte;
    expect(new Rescan(folder.path, damaged).isSame()).toBe(false);
  }
  expect(existsSync(at('a'))).toBe(true);
});

test('a scan nobody waits for ends with the program', () => {
  new Rescan(folder.path, record());
  expect(new Rescan(folder.path, record()).isSame()).toBe(true);
});
