import { describe, expect, test } from 'vitest';
import { openDirectoryTree } from '../../../src/builder/context/index.ts';
import { type CopyOperation, layoutCopy, selectCopy } from '../../../src/builder/copy/index.ts';
import type { LayerEntry, Tree } from '../../../src/layers/index.ts';
import { folderOf, linesOf, memoryTree, type TreeSpec } from '../../support/copy-trees.ts';

const empty = memoryTree({});

type Given = Partial<Omit<CopyOperation, 'operands'>> & { readonly from?: readonly string[] };

async function layout(spec: TreeSpec, given: Given, destination: Tree | undefined = empty): Promise<LayerEntry[]> {
  using folder = folderOf(spec);
  const { from = ['.'], ...rest } = given;
  const operation: CopyOperation = {
    kind: 'copy',
    operands: from.map((text) => ({ kind: 'pattern', text })),
    destination: '/',
    workdir: '/',
    link: false,
    parents: false,
    excludes: [],
    ...rest,
  };
  const selection = selectCopy(openDirectoryTree(folder.path), operation);
  return layoutCopy(selection, operation, destination, { createdMtime: 7n });
}

const copy = async (...args: Parameters<typeof layout>): Promise<string[]> => linesOf(await layout(...args));

describe('a file', () => {
  test('takes the name of a destination that does not exist, whose parents are made', async () => {
    expect(await copy({ a: '1' }, { from: ['a'], destination: '/x/y' })).toEqual([
      'directory 755 0:0 x',
      'file 644 0:0 x/y',
    ]);
  });

  test('keeps its name in a destination that ends in a slash', async () => {
    expect(await copy({ a: '1' }, { from: ['a'], destination: '/x/' })).toEqual([
      'directory 755 0:0 x',
      'file 644 0:0 x/a',
    ]);
  });

  test('keeps its name in an existing directory, which comes along as it is', async () => {
    const there = memoryTree({ x: { kind: 'directory', mode: 0o700, uid: 3, gid: 4 } });
    const entries = await layout({ a: '1' }, { from: ['a'], destination: 'x' }, there);
    expect(linesOf(entries)).toEqual(['directory 700 3:4 x', 'file 644 0:0 x/a']);
    expect(entries[0]?.mtime).toBe(5n);
  });

  test('lands relative to the working directory when the destination is relative', async () => {
    expect(await copy({ a: '1' }, { from: ['a'], destination: '.', workdir: '/w' })).toEqual([
      'directory 755 0:0 w',
      'file 644 0:0 w/a',
    ]);
    expect(await copy({ a: '1' }, { from: ['a'], destination: '../b', workdir: '/w/v' })).toEqual([
      'directory 755 0:0 w',
      'file 644 0:0 w/b',
    ]);
  });

  test('follows symbolic links in the destination inside the root file system', async () => {
    const there = memoryTree({ 'var/run': { linkTarget: '../../../run' as never }, run: { kind: 'directory' } });
    expect(await copy({ a: '1' }, { from: ['a'], destination: '/var/run/' }, there)).toEqual([
      'directory 755 0:0 run',
      'file 644 0:0 run/a',
    ]);
  });

  test('is written through a symbolic link that is the destination itself, dangling or not', async () => {
    const there = memoryTree({ l: { linkTarget: '/new/f' as never } });
    expect(await copy({ a: '1' }, { from: ['a'], destination: '/l' }, there)).toEqual([
      'directory 755 0:0 new',
      'file 644 0:0 new/f',
    ]);
  });

  test('replaces a symbolic link of its own name in a directory', async () => {
    const there = memoryTree({ 'd/a': { linkTarget: '/etc/passwd' as never } });
    expect(await copy({ a: '1' }, { from: ['a'], destination: '/d/' }, there)).toEqual([
      'directory 755 0:0 d',
      'file 644 0:0 d/a',
    ]);
  });

  test('never replaces a directory', async () => {
    const there = memoryTree({ 'd/a/b': {} });
    await expect(copy({ a: '1' }, { from: ['a'], destination: '/d/' }, there)).rejects.toMatchObject({
      code: 'copy-onto-directory',
    });
  });

  test('below a file in the destination is an error', async () => {
    const there = memoryTree({ f: {} });
    await expect(copy({ a: '1' }, { from: ['a'], destination: '/f/' }, there)).rejects.toMatchObject({
      code: 'copy-onto-file',
    });
  });
});

describe('a directory', () => {
  test('gives its contents, and the new destination has 0755 and the time of the source', async () => {
    const entries = await layout(
      { 'd/': { mode: 0o700 }, 'd/a': '1', 'd/s/b': '2' },
      { from: ['d'], destination: 'x' },
    );
    expect(linesOf(entries)).toEqual([
      'directory 755 0:0 x',
      'file 644 0:0 x/a',
      'directory 755 0:0 x/s',
      'file 644 0:0 x/s/b',
    ]);
    expect(entries[0]?.mtime).toBeGreaterThan(10n ** 18n);
  });

  test('merges: the destination keeps its mode, directories below take those of the source', async () => {
    const there = memoryTree({
      x: { kind: 'directory', mode: 0o750, uid: 8, gid: 8 },
      'x/s': { kind: 'directory', mode: 0o700, uid: 9, gid: 9 },
      'x/s/old': {},
    });
    expect(await copy({ 'd/s/b': '2' }, { from: ['d'], destination: '/x' }, there)).toEqual([
      'directory 750 8:8 x',
      'directory 755 0:0 x/s',
      'file 644 0:0 x/s/b',
    ]);
  });

  test('never replaces a file, nor a symbolic link below the destination', async () => {
    const there = memoryTree({ lib: { linkTarget: 'usr/lib' as never }, 'usr/lib': { kind: 'directory' }, f: {} });
    await expect(copy({ 'd/lib/x': '' }, { from: ['d'], destination: '/' }, there)).rejects.toMatchObject({
      code: 'copy-onto-file',
      message: expect.stringContaining('/lib, which is a symbolic link'),
    });
    await expect(copy({ 'd/x': '' }, { from: ['d'], destination: '/f' }, there)).rejects.toMatchObject({
      code: 'copy-onto-file',
    });
  });

  test('keeps symbolic links below it as they are, wherever they point', async () => {
    expect(await copy({ 'd/l': { link: '/etc/shadow' }, 'd/m': { link: 'nowhere' } }, { from: ['d'] })).toEqual([
      'symlink 777 0:0 l -> /etc/shadow',
      'symlink 777 0:0 m -> nowhere',
    ]);
  });

  test('keeps hard links within it, the first name in byte order being the file', async () => {
    expect(
      await copy({ 'd/a/z': 'x', 'd/a.txt': { hard: 'd/a/z' }, 'd/b': { hard: 'd/a/z' } }, { from: ['d'] }),
    ).toEqual([
      'directory 755 0:0 a',
      'file 644 0:0 a.txt',
      'hardlink 644 0:0 a/z -> a.txt',
      'hardlink 644 0:0 b -> a.txt',
    ]);
  });

  test('makes two files of hard links that different sources name', async () => {
    const entries = await copy({ a: 'x', b: { hard: 'a' } }, { from: ['a', 'b'], destination: '/x/' });
    expect(entries).toEqual(['directory 755 0:0 x', 'file 644 0:0 x/a', 'file 644 0:0 x/b']);
  });
});

describe('several sources', () => {
  test('are written in order, the last one winning', async () => {
    const entries = await layout({ 'a/f': '1', 'b/f': '22' }, { from: ['a', 'b'], destination: '/x/' });
    expect(entries.map((entry) => [entry.path, entry.size])).toEqual([
      ['x', 0],
      ['x/f', 2],
    ]);
  });

  test('need a destination that ends in a slash', async () => {
    await expect(copy({ a: '', b: '' }, { from: ['a', 'b'], destination: '/x' })).rejects.toMatchObject({
      code: 'copy-destination-not-folder',
      hint: 'Write "/x/".',
    });
  });

  test('that a wildcard finds need a directory as well', async () => {
    const files = { 'a.txt': '', 'b.txt': '' };
    await expect(copy(files, { from: ['*.txt'], destination: '/x' })).rejects.toMatchObject({
      code: 'copy-destination-not-folder',
    });
    expect(await copy({ 'a.txt': '' }, { from: ['*.txt'], destination: '/x' })).toEqual(['file 644 0:0 x']);
    const there = memoryTree({ x: { kind: 'directory' } });
    expect(await copy(files, { from: ['*.txt'], destination: '/x' }, there)).toHaveLength(3);
  });
});

describe('--link', () => {
  test('depends on nothing beneath: parents are made and no link is followed', async () => {
    expect(await copy({ a: '1' }, { from: ['a'], destination: '/var/run/', link: true }, undefined)).toEqual([
      'directory 755 0:0 var',
      'directory 755 0:0 var/run',
      'file 644 0:0 var/run/a',
    ]);
  });

  test('cannot look names up', async () => {
    using folder = folderOf({ a: '' });
    const operation: CopyOperation = {
      kind: 'copy',
      operands: [{ kind: 'pattern', text: 'a' }],
      destination: '/',
      workdir: '/',
      chown: 'app',
      link: true,
      parents: false,
      excludes: [],
    };
    const selection = selectCopy(openDirectoryTree(folder.path), operation);
    await expect(layoutCopy(selection, operation, undefined, { createdMtime: 0n })).rejects.toMatchObject({
      code: 'copy-owner-unknown',
      hint: 'Use a number.',
    });
  });
});

describe('--chown', () => {
  const there = memoryTree({
    'etc/passwd': { text: 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/:/bin/sh\n' },
    'etc/group': { text: 'root:x:0:\nwww:x:33:app\n' },
  });

  test.each([
    ['5', '5:5'],
    ['5:6', '5:6'],
    ['app', '1000:1001'],
    ['app:www', '1000:33'],
    ['app:7', '1000:7'],
    ['9:www', '9:33'],
    ['root', '0:0'],
    ['app:', '1000:0'],
    [':www', '0:33'],
    [':', '0:0'],
  ])('%s gives %s, to the parents it makes as well', async (chown, owner) => {
    expect(await copy({ a: '' }, { from: ['a'], destination: '/n/', chown }, there)).toEqual([
      `directory 755 ${owner} n`,
      `file 644 ${owner} n/a`,
    ]);
  });

  test.each(['nobody', 'app:nogroup', '4294967295', '-1', ':nogroup'])('%s is an error', async (chown) => {
    await expect(copy({ a: '' }, { from: ['a'], chown }, there)).rejects.toMatchObject({ code: 'copy-owner-unknown' });
  });

  test('reads no passwd that is a device, and follows one that is a link inside the image only', async () => {
    const odd = memoryTree({
      'etc/passwd': { linkTarget: '../../../real' as never },
      real: { text: 'app:x:12:13::/:/bin/sh' },
    });
    expect(await copy({ a: '' }, { from: ['a'], chown: 'app' }, odd)).toEqual(['file 644 12:13 a']);
    const device = memoryTree({ 'etc/passwd': { kind: 'char' } });
    await expect(copy({ a: '' }, { from: ['a'], chown: 'app' }, device)).rejects.toMatchObject({
      code: 'copy-owner-unknown',
    });
  });
});

describe('--chmod', () => {
  test('in octal applies to files, directories and the parents that are made, not to links', async () => {
    expect(
      await copy({ 'd/s/f': '', 'd/l': { link: 'f' } }, { from: ['d'], destination: '/n', chmod: '4750' }),
    ).toEqual(
      ['directory 750 0:0 n', 'symlink 777 0:0 n/l', 'directory 4750 0:0 n/s', 'file 4750 0:0 n/s/f'].map((line) =>
        line.replace('n/l', 'n/l -> f'),
      ),
    );
  });

  test('in symbols changes each entry from what it was', async () => {
    const files = {
      'd/': { mode: 0o755 },
      'd/s/': { mode: 0o700 },
      'd/s/x': { mode: 0o700 },
      'd/s/f': { mode: 0o600 },
    };
    expect(await copy(files, { from: ['d'], destination: '/n', chmod: 'go=u-w,go+X' })).toEqual([
      'directory 755 0:0 n',
      'directory 755 0:0 n/s',
      'file 644 0:0 n/s/f',
      'file 755 0:0 n/s/x',
    ]);
  });

  test.each(['8', '17777', 'rwx', 'u+q', '', ' '])('%j is an error or no change', async (chmod) => {
    const result = copy({ a: '' }, { from: ['a'], chmod });
    if (chmod === '') expect(await result).toEqual(['file 644 0:0 a']);
    else await expect(result).rejects.toMatchObject({ code: 'copy-mode-invalid' });
  });
});

describe('--parents', () => {
  const files = { 'a/b/c.txt': '', 'a/b/d.md': '', 'a/e.txt': '', 'x/a/f.txt': '' };

  test('keeps the whole path of what it copies', async () => {
    expect(await copy(files, { from: ['a/b/c.txt', 'a/e.txt'], destination: '/p/', parents: true })).toEqual([
      'directory 755 0:0 p',
      'directory 755 0:0 p/a',
      'directory 755 0:0 p/a/b',
      'file 644 0:0 p/a/b/c.txt',
      'file 644 0:0 p/a/e.txt',
    ]);
  });

  test('cuts the path at the pivot', async () => {
    expect(await copy(files, { from: ['./a/./b/*.txt'], destination: '/p/', parents: true })).toEqual([
      'directory 755 0:0 p',
      'directory 755 0:0 p/b',
      'file 644 0:0 p/b/c.txt',
    ]);
  });

  test('knows ** for any number of directories', async () => {
    expect(await copy(files, { from: ['**/*.txt'], destination: '/p/', parents: true })).toEqual([
      'directory 755 0:0 p',
      'directory 755 0:0 p/a',
      'directory 755 0:0 p/a/b',
      'file 644 0:0 p/a/b/c.txt',
      'file 644 0:0 p/a/e.txt',
      'directory 755 0:0 p/x',
      'directory 755 0:0 p/x/a',
      'file 644 0:0 p/x/a/f.txt',
    ]);
  });

  test('requires what it names without wildcards', async () => {
    await expect(copy(files, { from: ['a/none'], destination: '/p/', parents: true })).rejects.toMatchObject({
      code: 'copy-source-missing',
    });
  });
});

describe('--exclude', () => {
  const files = { 'd/a.txt': '', 'd/b.md': '', 'd/s/c.txt': '', 'd/s/keep.txt': '' };

  test('leaves out what its patterns match, relative to the source', async () => {
    expect(await copy(files, { from: ['d'], destination: '/n', excludes: ['*.txt'] })).toEqual([
      'directory 755 0:0 n',
      'file 644 0:0 n/b.md',
      'directory 755 0:0 n/s',
      'file 644 0:0 n/s/c.txt',
      'file 644 0:0 n/s/keep.txt',
    ]);
    expect(await copy(files, { from: ['d'], destination: '/n', excludes: ['**/*.txt'] })).toEqual([
      'directory 755 0:0 n',
      'file 644 0:0 n/b.md',
      'directory 755 0:0 n/s',
    ]);
  });

  test('takes back with ! below a directory it left out', async () => {
    expect(await copy(files, { from: ['d'], destination: '/n', excludes: ['s', '!s/keep.txt'] })).toEqual([
      'directory 755 0:0 n',
      'file 644 0:0 n/a.txt',
      'file 644 0:0 n/b.md',
      'directory 755 0:0 n/s',
      'file 644 0:0 n/s/keep.txt',
    ]);
  });
});
