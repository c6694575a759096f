import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createHashMemo, type HashingStore, openDirectoryTree } from '../../../src/builder/context/index.ts';
import { bytePathFromText } from '../../../src/core/index.ts';
import { digestOf } from '../../../src/image/index.ts';
import type { EntryContent } from '../../../src/layers/index.ts';
import { folderOf } from '../../support/copy-trees.ts';

const { signal } = new AbortController();

/** A store that hashes for real and counts what it read. */
function countingStore(root: string): HashingStore & { readonly read: string[] } {
  const read: string[] = [];
  const hashContents = async (contents: readonly EntryContent[]) =>
    contents.map((content) => {
      if (content.kind !== 'file') throw new Error('only files here');
      read.push(content.path);
      return digestOf(readFileSync(join(content.root, content.path)));
    });
  return { root, read, hashContents };
}

const later = () => Date.now() + 60_000;

async function digests(store: HashingStore, folder: string, now = later): Promise<string[]> {
  const memo = await createHashMemo(store, folder, now);
  const entries = openDirectoryTree(folder).list(bytePathFromText(''));
  const found = await memo.digests(entries, signal);
  await memo.save();
  return entries.flatMap((entry) => found.get(entry) ?? []);
}

test('an unchanged context is read once', async () => {
  using folder = folderOf({ 'context/a': '1', 'context/b': '2', 'store/': '' });
  const store = countingStore(folder.at('store'));
  const first = await digests(store, folder.at('context'));
  expect(first).toEqual([digestOf('1'), digestOf('2')]);
  expect(await digests(store, folder.at('context'))).toEqual(first);
  expect(store.read).toEqual(['a', 'b']);
});

test('a changed file is read again, even with its old size and time', async () => {
  using folder = folderOf({ 'context/a': '1', 'context/b': '2', 'store/': '' });
  const store = countingStore(folder.at('store'));
  const { utimes } = { utimes: new Date(1_000_000_000_000) };
  utimesSync(folder.at('context/a'), utimes, utimes);
  await digests(store, folder.at('context'));
  writeFileSync(folder.at('context/a'), '3');
  utimesSync(folder.at('context/a'), utimes, utimes);
  expect(await digests(store, folder.at('context'))).toEqual([digestOf('3'), digestOf('2')]);
  expect(store.read).toEqual(['a', 'b', 'a']);
});

test('a file changed just before it was hashed is not trusted the next time', async () => {
  using folder = folderOf({ 'context/a': '1', 'store/': '' });
  const store = countingStore(folder.at('store'));
  await digests(store, folder.at('context'), Date.now);
  await digests(store, folder.at('context'), Date.now);
  expect(store.read).toEqual(['a', 'a']);
});

test('a tree that is opened with it knows what is remembered, and only that', async () => {
  using folder = folderOf({ 'context/a': '1', 'context/d/b': '2', 'store/': '' });
  const store = countingStore(folder.at('store'));
  await digests(store, folder.at('context'));
  const memo = await createHashMemo(store, folder.at('context'), later);
  const tree = openDirectoryTree(folder.at('context'), { memo });
  const [a, d] = tree.list(bytePathFromText(''));
  expect(a?.contentDigest).toBe(digestOf('1'));
  const [b] = tree.list(bytePathFromText('d'));
  expect([d?.contentDigest, b?.contentDigest]).toEqual([undefined, undefined]);
  expect([
    ...(
      await memo.digests(
        [a, b].flatMap((entry) => entry ?? []),
        signal,
      )
    ).values(),
  ]).toEqual([digestOf('1'), digestOf('2')]);
  expect(store.read).toEqual(['a', 'd/b']);
});

test('what another reader hashed is remembered when it says so', async () => {
  using folder = folderOf({ 'context/a': '1', 'store/': '' });
  const store = countingStore(folder.at('store'));
  const memo = await createHashMemo(store, folder.at('context'), later);
  for (const entry of openDirectoryTree(folder.at('context')).list(bytePathFromText('')))
    memo.set(entry, digestOf('1'));
  await memo.save();
  expect(await digests(store, folder.at('context'))).toEqual([digestOf('1')]);
  expect(store.read).toEqual([]);
});

test('files are found in whatever order they are asked for, and one that is replaced is forgotten', async () => {
  const names = Array.from({ length: 40 }, (_, index) => `f${index}`);
  using folder = folderOf({ 'store/': '', ...Object.fromEntries(names.map((name) => [`context/${name}`, name])) });
  const store = countingStore(folder.at('store'));
  const entries = () => [...openDirectoryTree(folder.at('context')).list(bytePathFromText(''))];
  const ask = async (asked: ReturnType<typeof entries>, now = later) => {
    const memo = await createHashMemo(store, folder.at('context'), now);
    const found = await memo.digests(asked, signal);
    await memo.save();
    return asked.map((entry) => found.get(entry));
  };
  const expected = (asked: ReturnType<typeof entries>) => asked.map((entry) => digestOf(entry.path));
  await ask(entries());
  const reversed = entries().reverse();
  expect(await ask(reversed)).toEqual(expected(reversed));
  const few = entries().filter((_, index) => index % 7 === 3);
  expect(await ask(few)).toEqual(expected(few));
  expect(await ask(entries())).toEqual(expected(entries()));
  expect(store.read).toHaveLength(names.length);
  writeFileSync(folder.at('context/f7'), 'other');
  expect((await ask(entries(), Date.now))[36]).toBe(digestOf('f6'));
  expect((await ask(entries(), Date.now))[37]).toBe(digestOf('other'));
  expect(store.read.slice(names.length)).toEqual(['f7', 'f7']);
});

test('a damaged memo is not believed', async () => {
  using folder = folderOf({ 'context/a': '1', 'store/': '' });
  const store = countingStore(folder.at('store'));
  await digests(store, folder.at('context'));
  const [name = ''] = readdirSync(folder.at('store/cache/context-hashes'));
  const file = folder.at(`store/cache/context-hashes/${name}`);
  const bytes = readFileSync(file);
  for (const damaged of [
    bytes.subarray(0, 40),
    bytes.map((byte, at) => (at === 60 ? byte ^ 1 : byte)),
    Buffer.alloc(0),
  ]) {
    writeFileSync(file, damaged);
    expect(await digests(store, folder.at('context'))).toEqual([digestOf('1')]);
  }
  expect(store.read).toHaveLength(4);
  expect(readdirSync(folder.at('store/cache/context-hashes'))).toEqual([name]);
});

test('a memo that cannot be written fails nothing', async () => {
  using folder = folderOf({ 'context/a': '1', store: 'a file' });
  const store = countingStore(folder.at('store'));
  expect(await digests(store, folder.at('context'))).toEqual([digestOf('1')]);
});
