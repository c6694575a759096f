import { execFileSync } from 'node:child_process';
import {
  createWriteStream,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/image/index.ts';
import { exportTree, type LayerEntry, type LocalStore, type Tree } from '../../../src/layers/index.ts';
import {
  bytePath,
  directoryEntry,
  fileEntry,
  never,
  putImage,
  temporaryFolder,
  temporaryStore,
} from '../../support/store.ts';

const noFetch = {
  signal: never,
  ensure: async (): Promise<void> => {
    throw new Error('nothing should be fetched');
  },
};
const isRoot = process.geteuid?.() === 0;

function link(path: string, kind: 'symlink' | 'hardlink', target: string): LayerEntry {
  return { ...directoryEntry(path), kind, mode: 0o777, linkTarget: bytePath(target) };
}

/** Every kind of entry, over two layers, the first compressed and its plain form gone. */
async function sampleTree(store: LocalStore): Promise<Tree> {
  const lower = [
    directoryEntry('', { mode: 0o711 }),
    directoryEntry('d', { mode: 0o1777, mtime: 1_600_000_000_123_456_789n }),
    fileEntry('d/file', 'content', { mode: 0o4755, uid: isRoot ? 12 : 0, gid: isRoot ? 34 : 0 }),
    link('d/hard', 'hardlink', 'd/file'),
    fileEntry('d/old', 'old'),
    link('escape', 'symlink', '../../../../etc'),
    { ...directoryEntry('fifo'), kind: 'fifo' as const, mode: 0o600 },
    fileEntry('größe', 'näme', { mtime: 1n }),
    directoryEntry('locked', { mode: 0o500 }),
    fileEntry('locked/in', 'x', { mode: 0 }),
  ];
  const image = await putImage(store, [lower, [fileEntry('d/new', 'new')]]);
  const [first, second] = image.layers;
  if (!first || !second) throw new Error('no layers');
  const blob = await store.compress(first, 'gzip', { signal: never });
  execFileSync('rm', ['-f', store.blobPath(first.diffId)]);
  return store.tree([{ ...first, blob }, second], noFetch);
}

function describeTree(folder: string): string {
  return execFileSync('find', ['.', '-printf', '%P %y %m %U:%G %n %l %T@\n'], { cwd: folder, encoding: 'utf8' })
    .split('\n')
    .sort()
    .join('\n');
}

describe('exporting a tree', () => {
  test('as a tar and as a folder gives what unpacking the layers gives', async () => {
    const store = await temporaryStore();
    const tree = await sampleTree(store);
    const base = temporaryFolder();
    const tar = join(base, 'out.tar');
    const out = createWriteStream(tar);
    await exportTree(tree, { kind: 'tar', out, signal: never });
    out.end();
    await finished(out);
    const [unpacked, exported] = [join(base, 'unpacked'), join(base, 'exported')];
    mkdirSync(unpacked);
    execFileSync('tar', ['xpf', tar, '-C', unpacked, '--numeric-owner']);
    expect(await exportTree(tree, { kind: 'directory', path: exported, signal: never })).toEqual([]);
    expect(describeTree(exported)).toBe(describeTree(unpacked));
    expect(readFileSync(join(exported, 'd/hard'), 'utf8')).toBe('content');
    expect(lstatSync(join(exported, 'd/hard')).ino).toBe(lstatSync(join(exported, 'd/file')).ino);
    expect(lstatSync(join(exported, 'd/file')).mode & 0o7777).toBe(0o4755);
    expect(lstatSync(join(exported, 'd'), { bigint: true }).mtimeNs).toBe(1_600_000_000_123_456_789n);
    expect(readlinkSync(join(exported, 'escape'))).toBe('../../../../etc');
  });

  test('again into the same folder replaces what is in the way and follows no link out of it', async () => {
    const store = await temporaryStore();
    const tree = await sampleTree(store);
    const base = temporaryFolder();
    const outside = join(base, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'file'), 'untouched');
    const path = join(base, 'exported');
    mkdirSync(join(path, 'escape', 'below'), { recursive: true });
    writeFileSync(join(path, 'locked'), 'a file where a folder goes');
    symlinkSync(outside, join(path, 'd'));
    writeFileSync(join(path, 'mine'), 'kept');
    await exportTree(tree, { kind: 'directory', path, signal: never });
    const first = describeTree(path);
    await exportTree(tree, { kind: 'directory', path, signal: never });
    expect(describeTree(path)).toBe(first);
    expect(readdirSync(outside)).toEqual(['file']);
    expect(readFileSync(join(outside, 'file'), 'utf8')).toBe('untouched');
    expect(lstatSync(join(path, 'd')).isDirectory()).toBe(true);
    expect(readFileSync(join(path, 'mine'), 'utf8')).toBe('kept');
    await exportTree(tree, { kind: 'directory', path, deleteOthers: true, signal: never });
    expect(existsSync(join(path, 'mine'))).toBe(false);
    expect(readFileSync(join(path, 'd/new'), 'utf8')).toBe('new');
  });

  test('from a directory of it gives that directory, owned by this user where that is asked for', async () => {
    const store = await temporaryStore();
    const tree = await sampleTree(store);
    const path = join(temporaryFolder(), 'd');
    await exportTree(tree, { kind: 'directory', path, from: bytePath('d'), keepOwners: false });
    expect(readdirSync(path).sort()).toEqual(['file', 'hard', 'new', 'old']);
    expect(lstatSync(path).mode & 0o7777).toBe(0o1777);
    expect(lstatSync(join(path, 'file')).uid).toBe(process.geteuid?.());
  });

  test('of large and sparse files keeps every byte', async () => {
    const store = await temporaryStore();
    const big = Buffer.alloc(3_000_001);
    for (let i = 0; i < big.length; i += 7) big[i] = i % 251;
    const image = await putImage(store, [[fileEntry('big', big), fileEntry('empty', '')]]);
    const tree = await store.tree(image.layers, noFetch);
    const path = join(temporaryFolder(), 'out');
    await exportTree(tree, { kind: 'directory', path });
    expect(digestOf(readFileSync(join(path, 'big')))).toBe(digestOf(big));
    expect(readFileSync(join(path, 'empty')).length).toBe(0);
  });
});
