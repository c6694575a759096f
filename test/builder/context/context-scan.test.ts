import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ContextScan, openDirectoryTree, parseIgnoreFile } from '../../../src/builder/context/index.ts';
import { type BytePath, bytePathFromText } from '../../../src/core/index.ts';
import { type Digest, digestOf } from '../../../src/image/index.ts';
import { type Folder, folderOf } from '../../support/copy-trees.ts';

const later = () => Date.now() + 60_000;
const spec = {
  'store/': '',
  'context/a': '1',
  'context/d/b': '2',
  'context/skipped/c': '3',
  'context/l': { link: 'a' },
};
const rules = parseIgnoreFile('skipped\n', '.dockerignore');

/** Everything a tree shows. */
function walk(tree: ReturnType<typeof openDirectoryTree>, from = '' as BytePath): string[] {
  return tree
    .list(from)
    .flatMap(({ path, kind, mode, size, mtime, linkTarget }) => [
      [path, kind, mode, size, mtime, linkTarget].join(' '),
      ...(kind === 'directory' ? walk(tree, path) : []),
    ]);
}

interface Look {
  readonly recalled: Digest | undefined;
  readonly seen: readonly string[];
}

/** One build: what is recalled, and what a tree shows that is opened with the scan. */
async function look(folder: Folder, now = later, selection = 'all'): Promise<Look> {
  const scan = new ContextScan(folder.at('store'), folder.at('context'), now);
  const recalled = scan.recall(selection);
  const tree = openDirectoryTree(folder.at('context'), { ignore: rules, scan });
  const seen = walk(tree);
  if (recalled === undefined) scan.remember(selection, digestOf(seen.join('\n')));
  await scan.save(tree.listings);
  return { recalled, seen };
}

const fresh = (folder: Folder) => walk(openDirectoryTree(folder.at('context'), { ignore: rules }));
const records = (folder: Folder) => readdirSync(folder.at('store/cache/context-hashes'));

test('what was selected of an unchanged folder is known, with what was selected of it at other times', async () => {
  using folder = folderOf(spec);
  const { recalled, seen } = await look(folder);
  expect(recalled).toBeUndefined();
  expect((await look(folder)).recalled).toBe(digestOf(seen.join('\n')));
  expect((await look(folder, later, 'other')).recalled).toBeUndefined();
  expect((await look(folder, later, 'other')).recalled).toBe(digestOf(seen.join('\n')));
  expect((await look(folder)).recalled).toBe(digestOf(seen.join('\n')));
  expect(records(folder)).toHaveLength(1);
});

test('a folder keeps its record when it is moved, and another folder in its place has none', async () => {
  using folder = folderOf(spec);
  await look(folder);
  renameSync(folder.at('context'), folder.at('moved'));
  mkdirSync(folder.at('context'));
  expect((await look(folder)).recalled).toBeUndefined();
  renameSync(folder.at('context'), folder.at('other'));
  renameSync(folder.at('moved'), folder.at('context'));
  expect((await look(folder)).recalled).toBeDefined();
});

test('after any change nothing is recalled, and the tree shows what is there now', async () => {
  using folder = folderOf(spec);
  await look(folder);
  const changes = [
    () => writeFileSync(folder.at('context/d/b'), 'changed'),
    () => chmodSync(folder.at('context/a'), 0o600),
    () => mkdirSync(folder.at('context/d/empty')),
    () => renameSync(folder.at('context/d'), folder.at('context/e')),
    () => writeFileSync(folder.at('context/new'), ''),
  ];
  for (const change of changes) {
    change();
    const { recalled, seen } = await look(folder);
    expect(recalled).toBeUndefined();
    expect(seen).toEqual(fresh(folder));
    expect((await look(folder)).recalled).toBe(digestOf(seen.join('\n')));
  }
});

test('content of the same size and time is seen by its change time', async () => {
  using folder = folderOf(spec);
  await look(folder);
  const file = folder.at('context/d/b');
  const { ctimeNs } = statSync(file, { bigint: true });
  do writeFileSync(file, '9');
  while (statSync(file, { bigint: true }).ctimeNs === ctimeNs);
  expect((await look(folder)).recalled).toBeUndefined();
});

test('what nothing reads may change: ignored directories are not looked at', async () => {
  using folder = folderOf(spec);
  await look(folder);
  writeFileSync(folder.at('context/skipped/c'), 'changed');
  expect((await look(folder)).recalled).toBeDefined();
});

test('nothing is remembered while a file was changed just before', async () => {
  using folder = folderOf(spec);
  await look(folder, Date.now);
  expect((await look(folder, Date.now)).recalled).toBeUndefined();
  await look(folder);
  expect((await look(folder, Date.now)).recalled).toBeDefined();
});

test('a damaged record is not believed, nor one of another program', async () => {
  using folder = folderOf(spec);
  await look(folder);
  const file = folder.at(`store/cache/context-hashes/${records(folder)[0]}`);
  const bytes = readFileSync(file);
  const flipped = (at: number) => bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));
  const all = [0, 17, 30, bytes.length - 40, bytes.length - 1].map(flipped);
  for (const damaged of [...all, bytes.subarray(0, 30), bytes.subarray(0, bytes.length - 8), Buffer.alloc(0)]) {
    writeFileSync(file, damaged);
    const scan = new ContextScan(folder.at('store'), folder.at('context'), later);
    expect(scan.recall('all')).toBeUndefined();
    const tree = openDirectoryTree(folder.at('context'), { ignore: rules, scan });
    expect(walk(tree).map((line) => line.split(' ')[0])).toEqual(fresh(folder).map((line) => line.split(' ')[0]));
  }
  // As it is written by a program in a file of another name.
  const other = Buffer.from(bytes);
  other.write('C', other.indexOf('context-scan'));
  createHash('sha256')
    .update(other.subarray(0, -32))
    .digest()
    .copy(other, other.length - 32);
  writeFileSync(file, other);
  expect(new ContextScan(folder.at('store'), folder.at('context'), later).recall('all')).toBeUndefined();
  writeFileSync(file, bytes);
  expect((await look(folder)).recalled).toBeDefined();
});

test('a record that cannot be written fails nothing, and a folder that is not there is no folder', async () => {
  using folder = folderOf({ ...spec, 'store/cache': 'a file' });
  expect((await look(folder)).recalled).toBeUndefined();
  expect((await look(folder)).recalled).toBeUndefined();
  const scan = new ContextScan(folder.at('store'), folder.at('none'), later);
  scan.remember('all', digestOf(''));
  await scan.save(new Map([[bytePathFromText(''), Buffer.alloc(0)]]));
  expect(scan.directory(bytePathFromText(''))).toBeUndefined();
});
