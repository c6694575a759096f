import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { directory, file, hardlink, layeredImage, symlink } from '../support/base-images.ts';
import { mustRun } from '../support/command.ts';
import { configDifferences, historyDifferences } from '../support/config-compare.ts';
import { type ConfigDocument, readOciLayout, writeOciLayout } from '../support/image-files.ts';
import { readTar, type TarEntry, writeTar } from '../support/plain-tar.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { flatten, treeDifferences } from '../support/tree-compare.ts';

let folder: TemporaryFolder;
beforeAll(() => {
  folder = temporaryFolder('judges');
});
afterAll(async () => await folder[Symbol.asyncDispose]());

describe('the flattened tree the builds are judged by', () => {
  test.skipIf(process.getuid?.() !== 0)('is what umoci unpacks from the same image', async () => {
    const layout = folder.join('layout');
    writeOciLayout(layout, [layeredImage()]);
    await mustRun('umoci', ['unpack', '--image', `${layout}:layered`, folder.join('bundle')]);
    const unpacked = walk(folder.join('bundle', 'rootfs'));
    const flat = [...flatten(readOciLayout(layout))].map(([path, node]) =>
      [path, node.type, node.mode ?? '', node.uid, node.gid, node.size ?? '', node.target ?? ''].join(' '),
    );
    expect(flat.sort()).toEqual(unpacked.sort());
  });

  const tree = (entries: readonly TarEntry[]) => flatten({ config: {} as ConfigDocument, layers: [writeTar(entries)] });
  const some = [directory('d'), file('d/f', 'text\n'), symlink('d/l', 'f'), hardlink('d/h', 'd/f')];

  test.each<[string, TarEntry, RegExp]>([
    ['a mode', file('d/f', 'text\n', { mode: 0o600 }), /^\/d\/f: mode is "0644", x has "0600"$/],
    ['an owner', file('d/f', 'text\n', { uid: 7 }), /^\/d\/f: uid is 0, x has 7$/],
    ['content of the same size', file('d/f', 'TEXT\n'), /^\/d\/f: sha256 /],
    ['a link target', symlink('d/l', 'g'), /^\/d\/l: target is "f", x has "g"$/],
    ['a kind', symlink('d/f', 'l'), /^\/d\/f: type is "file", x has "symlink"$/],
    ['a broken hardlink', file('d/h', 'text\n'), /^\/d\/f: links is \["d\/f","d\/h"\], x has undefined$/],
    ['an attribute', file('d/f', 'text\n', { xattrs: { 'user.a': 'b' } }), /^\/d\/f: xattrs is undefined, x has/],
    ['one path more', file('d/g', ''), /^\/d\/g: only x has it/],
  ])('differs by %s', (_, entry, line) => {
    const replaced = some.map((old) => (old.path === entry.path ? entry : old));
    const others = replaced.includes(entry) ? replaced : [...some, entry];
    const differences = treeDifferences(tree(some), tree(others), 'x', { without: ['mtime'] });
    expect(
      differences.some((text) => line.test(text)),
      differences.join('\n'),
    ).toBe(true);
    expect(treeDifferences(tree(some), tree(some), 'x', { without: [] })).toEqual([]);
  });

  test('ignores a path alone, or with all that is below it', () => {
    const fewer = tree([directory('d')]);
    const lines = (ignore: string[]) => treeDifferences(tree(some), fewer, 'x', { without: ['mtime'], ignore });
    expect(lines([])).toHaveLength(3);
    expect(lines(['d/f'])).toHaveLength(2);
    expect(lines(['d'])).toHaveLength(3);
    expect(lines(['d/'])).toEqual([]);
  });
});

describe('the comparison of configurations', () => {
  const document = (config: Record<string, unknown>): ConfigDocument => ({
    config,
    rootfs: { diff_ids: [] },
    os: 'linux',
    architecture: 'amd64',
  });

  test.each<[Record<string, unknown>, Record<string, unknown>]>([
    [{ Env: ['a=1', 'b=2'] }, { Env: ['b=2', 'a=1'] }],
    [{ Cmd: ['a'] }, {}],
    [
      { Cmd: [] as string[], User: 'x' },
      { Cmd: ['a'], User: 'x' },
    ],
    [{ Labels: { a: '1' } }, { Labels: { a: '2' } }],
    [{ WorkingDir: '/x' }, {}],
    [{ Healthcheck: { Test: ['NONE'] } }, {}],
  ])('finds that %j is not %j', (ours, theirs) => {
    expect(configDifferences(document(ours), document(theirs), 'docker')).toHaveLength(1);
  });

  test('takes absent, null and empty for one, and the order of labels for nothing', () => {
    const ours = document({ Cmd: null, Labels: { a: '1', b: '2' }, WorkingDir: '/', User: '' });
    expect(configDifferences(ours, document({ Labels: { b: '2', a: '1' }, Env: [] }), 'docker')).toEqual([]);
  });

  test('finds a history line that is missing or has a layer where none should be', () => {
    const ours = { ...document({}), history: [{ created_by: 'A' }, { created_by: 'B', empty_layer: true }] };
    expect(historyDifferences(ours, { ...ours, history: [{ created_by: 'A' }] }, 'x')).toHaveLength(1);
    const other = { ...ours, history: [{ created_by: 'A' }, { created_by: 'B' }] };
    expect(historyDifferences(ours, other, 'x')).toEqual(['history[1] is (empty) B, x has B']);
  });
});

test('the tar the judges read and write is what GNU tar reads', async () => {
  const long = 'n'.repeat(120);
  const entries = [directory(long), file(`${long}/f`, 'x\n', { uid: 7, gid: 8, mode: 0o4755 }), symlink('l', long)];
  const { text } = await mustRun('tar', ['--numeric-owner', '-tvf', '-'], { input: writeTar(entries) });
  expect(text).toContain('-rwsr-xr-x 7/8 ');
  expect(text).toContain(`l -> ${long}`);
  expect(readTar(writeTar(entries))).toEqual(entries);
});

function walk(root: string, path = ''): string[] {
  const full = join(root, path);
  const stat = lstatSync(full);
  const mode = (stat.mode & 0o7777).toString(8).padStart(4, '0');
  const line = stat.isSymbolicLink()
    ? [path, 'symlink', '', stat.uid, stat.gid, '', readlinkSync(full)]
    : stat.isDirectory()
      ? [path, 'directory', mode, stat.uid, stat.gid, '', '']
      : [path, 'file', mode, stat.uid, stat.gid, readFileSync(full).length, ''];
  const below = stat.isDirectory()
    ? readdirSync(full).flatMap((name) => walk(root, path === '' ? name : `${path}/${name}`))
    : [];
  return [...(path === '' ? [] : [line.join(' ')]), ...below];
}
