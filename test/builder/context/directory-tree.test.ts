import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { openContext, openDirectoryTree, parseIgnoreFile } from '../../../src/builder/context/index.ts';
import { type BytePath, bytePathFromBytes, bytePathFromText } from '../../../src/core/index.ts';
import type { Tree } from '../../../src/layers/index.ts';
import { folderOf, type TreeSpec } from '../../support/copy-trees.ts';

const path = bytePathFromText;
const { signal } = new AbortController();

/** Every path of a tree, in the order of a walk. */
function pathsOf(tree: Tree, from: BytePath = path('')): string[] {
  return tree
    .list(from)
    .flatMap((entry) => [entry.path, ...(entry.kind === 'directory' ? pathsOf(tree, entry.path) : [])]);
}

function shown(spec: TreeSpec, ignore: string): string[] {
  using folder = folderOf(spec);
  return pathsOf(openDirectoryTree(folder.path, { ignore: parseIgnoreFile(ignore, '.dockerignore') }));
}

describe('a folder as a tree', () => {
  test('has the entries as they are, owned by 0:0', () => {
    using folder = folderOf({ f: { text: 'abc', mode: 0o4755 }, 'd/': { mode: 0o1777 }, l: { link: 'f' } });
    const tree = openDirectoryTree(folder.path);
    expect(tree.list(path(''))).toMatchObject([
      { path: 'd', kind: 'directory', mode: 0o1777, uid: 0, gid: 0, size: 0 },
      { path: 'f', kind: 'file', mode: 0o4755, uid: 0, gid: 0, size: 3, content: { root: folder.path, path: 'f' } },
      { path: 'l', kind: 'symlink', mode: 0o777, linkTarget: 'f', size: 0 },
    ]);
    expect(tree.lookup(path('f'))?.mtime).toBeGreaterThan(10n ** 18n);
    expect(tree.lookup(path('none'))).toBeUndefined();
    expect(tree.lookup(path('f/x'))).toBeUndefined();
    expect(tree.list(path('f'))).toEqual([]);
  });

  test('knows hard links by a common inode, and no others', () => {
    using folder = folderOf({ a: 'x', b: { hard: 'a' }, c: 'y', d: 'z' });
    const inodes = openDirectoryTree(folder.path)
      .list(path(''))
      .map((entry) => entry.inode);
    expect(inodes[0]).not.toBe(0);
    expect(inodes).toEqual([inodes[0], inodes[0], 0, 0]);
  });

  test('takes names that are no UTF-8, or hold line breaks, as the bytes they are', async () => {
    using folder = folderOf({});
    const name = Buffer.from([0x61, 0xff, 0x0a, 0xfe]);
    writeFileSync(Buffer.concat([Buffer.from(`${folder.path}/`), name]), 'odd');
    const tree = openDirectoryTree(folder.path);
    expect(pathsOf(tree)).toEqual([bytePathFromBytes(name)]);
    expect((await tree.readFile(bytePathFromBytes(name), 10))?.toString()).toBe('odd');
  });

  test('resolves links inside, and stops at loops', () => {
    using folder = folderOf({
      'd/f': '',
      up: { link: '../../../d' },
      abs: { link: '/d/f' },
      x: { link: 'y' },
      y: { link: 'x' },
    });
    const tree = openDirectoryTree(folder.path);
    expect(tree.resolve(path('up/f'))).toBe('d/f');
    expect(tree.resolve(path('abs'))).toBe('d/f');
    expect(tree.resolve(path('abs'), { followLast: false })).toBe('abs');
    expect(tree.resolve(path('../../etc/passwd'))).toBe('etc/passwd');
    expect(() => tree.resolve(path('x'))).toThrow(expect.objectContaining({ code: 'path-loop' }));
  });

  test('lists FIFOs as what they are without opening them, and no sockets', async () => {
    using folder = folderOf({ a: '' });
    execFileSync('mkfifo', [folder.at('pipe')]);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(folder.at('socket'), resolve));
    try {
      const tree = openDirectoryTree(folder.path);
      expect(tree.list(path('')).map((entry) => [entry.path, entry.kind])).toEqual([
        ['a', 'file'],
        ['pipe', 'fifo'],
      ]);
      expect(await tree.readFile(path('pipe'), 10)).toBeUndefined();
    } finally {
      await new Promise<void>((resolve) => server.close(() => resolve()));
    }
  });

  test('may be a thousand folders deep', () => {
    using folder = folderOf({});
    const deep = Array.from({ length: 1000 }, () => 'd').join('/');
    mkdirSync(folder.at(deep), { recursive: true });
    writeFileSync(folder.at(`${deep}/f`), '');
    expect(openDirectoryTree(folder.path).lookup(path(`${deep}/f`))?.kind).toBe('file');
    const ignore = parseIgnoreFile('d\n!**/f', '.dockerignore');
    expect(openDirectoryTree(folder.path, { ignore }).lookup(path(`${deep}/f`))?.kind).toBe('file');
  });

  test('may have paths longer than the kernel takes at once', async () => {
    using folder = folderOf({});
    const name = 'd'.repeat(200);
    const make = `for i in {1..30}; do mkdir ${name}; cd -P ${name}; done; echo -n deep > f; ln -s /f l`;
    execFileSync('bash', ['-c', make], { cwd: folder.path });
    try {
      const deep = Array(30).fill(name).join('/');
      for (const ignore of ['none', '*\n!**/f\n!**/l']) {
        const tree = openDirectoryTree(folder.path, { ignore: parseIgnoreFile(ignore, '.dockerignore') });
        expect(tree.list(path(deep)).map((entry) => [entry.kind, entry.size, entry.linkTarget])).toEqual([
          ['file', 4, undefined],
          ['symlink', 0, '/f'],
        ]);
        expect((await tree.readFile(path(`${deep}/f`), 10))?.toString()).toBe('deep');
      }
    } finally {
      execFileSync('bash', ['-c', 'rm -rf d*'], { cwd: folder.path });
    }
  });

  test('has no extended attributes: BuildKit loses those of context files on their way', () => {
    using folder = folderOf({ f: '' });
    execFileSync('setfattr', ['-n', 'user.note', '-v', 'mine', folder.at('f')]);
    expect(openDirectoryTree(folder.path).lookup(path('f'))?.xattrs).toBeUndefined();
  });

  test('reads no more of a file than its limit', async () => {
    using folder = folderOf({ f: '12345' });
    const tree = openDirectoryTree(folder.path);
    expect((await tree.readFile(path('f'), 5))?.toString()).toBe('12345');
    await expect(tree.readFile(path('f'), 4)).rejects.toMatchObject({ code: 'file-too-large' });
  });

  test('that someone swaps a link into is not left through it', async () => {
    using folder = folderOf({ 'context/d/f': 'mine', 'outside/f': 'theirs' });
    const tree = openDirectoryTree(folder.at('context'));
    expect(tree.lookup(path('d/f'))?.kind).toBe('file');
    execFileSync('mv', [folder.at('context/d'), folder.at('context/e')]);
    symlinkSync('../outside', folder.at('context/d'));
    expect(await tree.readFile(path('d/f'), 100)).toBeUndefined();
  });
});

describe('a folder that someone changes while it is walked', () => {
  test.each(['../outside', '/etc', 'e'])(
    'is not left through a link to %s that takes the place of a directory',
    (to) => {
      using folder = folderOf({ 'context/d/x/f': 'mine', 'outside/x/f': 'theirs', 'outside/x/secret': '' });
      const tree = openDirectoryTree(folder.at('context'));
      expect(tree.lookup(path('d'))?.kind).toBe('directory');
      execFileSync('mv', [folder.at('context/d'), folder.at('context/e')]);
      symlinkSync(to, folder.at('context/d'));
      expect(() => tree.list(path('d'))).toThrow(
        expect.objectContaining({ code: 'context-unreadable', hint: expect.stringContaining('nothing writes') }),
      );
    },
  );

  test('is not left through a link further up either', () => {
    using folder = folderOf({ 'context/d/x/f': 'mine', 'outside/x/f': 'theirs', 'outside/x/secret': '' });
    const tree = openDirectoryTree(folder.at('context'));
    expect(tree.list(path('d')).map((entry) => entry.path)).toEqual(['d/x']);
    execFileSync('mv', [folder.at('context/d'), folder.at('context/e')]);
    symlinkSync('../outside', folder.at('context/d'));
    expect(() => tree.list(path('d/x'))).toThrow(expect.objectContaining({ code: 'context-unreadable' }));
  });

  test('shows a directory that vanished as unreadable, naming it', () => {
    using folder = folderOf({ 'd/f': '' });
    const tree = openDirectoryTree(folder.path);
    tree.lookup(path('d'));
    execFileSync('rm', ['-r', folder.at('d')]);
    expect(() => tree.list(path('d'))).toThrow(
      expect.objectContaining({ message: `${folder.at('d')} cannot be read: ENOENT` }),
    );
  });
});

describe('an ignored path', () => {
  const spec: TreeSpec = { 'a/b/c': '', 'a/d': '', 'e/': '', f: '', 'node_modules/x/y': '' };

  test('is not there, nor is what lies below it', () => {
    expect(shown(spec, 'a\nf')).toEqual(['e', 'node_modules', 'node_modules/x', 'node_modules/x/y']);
  });

  test('stays as the folder of what an exception takes back', () => {
    expect(shown(spec, '*\n!a/b/c')).toEqual(['a', 'a/b', 'a/b/c']);
    expect(shown(spec, '*\n!**/d')).toEqual(['a', 'a/d']);
    expect(shown(spec, '*\n!e')).toEqual(['e']);
  });

  test('is found by who asks which file hides it', () => {
    using folder = folderOf(spec);
    const tree = openDirectoryTree(folder.path, { ignore: parseIgnoreFile('a', 'x.dockerignore') });
    expect(tree.hiddenBy(path('a/d'))).toBe('x.dockerignore');
    expect(tree.hiddenBy(path('none'))).toBeUndefined();
    expect(tree.hiddenBy(path('f'))).toBeUndefined();
  });

  test('is not looked for outside of the folder', () => {
    using folder = folderOf({ 'context/a': '', 'context/up': { link: '../outside' }, 'outside/f': '' });
    const tree = openDirectoryTree(folder.at('context'), { ignore: parseIgnoreFile('a', '.dockerignore') });
    expect(tree.hiddenBy(path('up/f'))).toBeUndefined();
    expect(tree.hiddenBy(path('../outside/f'))).toBeUndefined();
  });
});

describe('a directory as the build context', () => {
  const open = (folder: string) => openContext({ kind: 'directory', path: folder }, { temporary: '', signal });

  test('follows .dockerignore, and first the ignore file of the Dockerfile', async () => {
    using folder = folderOf({
      '.dockerignore': 'a\nDockerfile\n.dockerignore',
      'app/Dockerfile.dockerignore': 'b',
      Dockerfile: 'FROM scratch',
      a: '',
      b: '',
    });
    await using context = await open(folder.path);
    expect(pathsOf(await context.tree('Dockerfile'))).toEqual(['app', 'app/Dockerfile.dockerignore', 'b']);
    expect(pathsOf(await context.tree('app/Dockerfile'))).toContain('a');
    expect(pathsOf(await context.tree('./app/Dockerfile'))).not.toContain('b');
    expect((await context.readFile('Dockerfile', 100))?.toString()).toBe('FROM scratch');
    expect(await context.readFile('../Dockerfile', 100)).toBeDefined();
    expect(await context.readFile('none', 100)).toBeUndefined();
  });

  test('takes the ignore file beside a Dockerfile outside of it', async () => {
    using folder = folderOf({
      'other/D.dockerignore': 'a',
      'context/a': '',
      'context/b': '',
      'context/.dockerignore': '*',
    });
    await using context = await open(folder.at('context'));
    expect(pathsOf(await context.tree(folder.at('other/D')))).toEqual(['.dockerignore', 'b']);
    expect(pathsOf(await context.tree(folder.at('other/E')))).toEqual([]);
  });

  test('reads no ignore file through a link that leads out', async () => {
    using folder = folderOf({ 'context/a': '', secret: 'a', 'context/.dockerignore': { link: '../secret' } });
    await using context = await open(folder.at('context'));
    expect(pathsOf(await context.tree())).toEqual(['.dockerignore', 'a']);
    using inside = folderOf({ a: '', rules: 'a', '.dockerignore': { link: 'rules' } });
    await using second = await open(inside.path);
    expect(pathsOf(await second.tree())).toEqual(['.dockerignore', 'rules']);
  });

  test('that does not exist, or is a file, is an error', async () => {
    using folder = folderOf({ f: '' });
    await expect(open(folder.at('none'))).rejects.toMatchObject({ code: 'context-invalid' });
    await expect(open(folder.at('f'))).rejects.toMatchObject({ code: 'context-invalid' });
  });

  test('may be named through a link', async () => {
    using folder = folderOf({ 'real/a': '', link: { link: 'real' } });
    await using context = await open(folder.at('link'));
    expect(pathsOf(await context.tree())).toEqual(['a']);
  });
});
