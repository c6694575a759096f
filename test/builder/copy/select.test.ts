import { chmodSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openDirectoryTree, parseIgnoreFile } from '../../../src/builder/context/index.ts';
import { type CopyOperation, selectCopy, selectionDigest, selectionFiles } from '../../../src/builder/copy/index.ts';
import type { SourceLocation } from '../../../src/core/index.ts';
import { digestOf } from '../../../src/image/index.ts';
import type { Tree, TreeEntry } from '../../../src/layers/index.ts';
import { folderOf, memoryTree, type TreeSpec } from '../../support/copy-trees.ts';

function operationOf(from: readonly string[], given: Partial<CopyOperation> = {}): CopyOperation {
  return {
    kind: 'copy',
    operands: from.map((text) => ({ kind: 'pattern', text })),
    destination: '/x/',
    workdir: '/',
    link: false,
    parents: false,
    excludes: [],
    ...given,
  };
}

/** `name: relative paths` for each item. */
function selected(tree: Tree, from: readonly string[], given: Partial<CopyOperation> = {}): string[] {
  return selectCopy(tree, operationOf(from, given)).items.map((item) =>
    item.kind === 'entries' ? `${item.name}: ${item.entries.map((entry) => entry.relative).join(' ')}` : item.kind,
  );
}

function failureOf(tree: Tree, from: readonly string[], given: Partial<CopyOperation> = {}): unknown {
  try {
    selectCopy(tree, operationOf(from, given), { sourceName: 'stage "build"' });
  } catch (error) {
    return error;
  }
  throw new Error('nothing failed');
}

const tree = memoryTree({
  'a/b/c.txt': {},
  'a/b/d.md': {},
  'a/e.txt': {},
  'package.json': {},
  'package-lock.json': {},
  link: { linkTarget: 'a/b' as never },
  up: { linkTarget: '../../../a/e.txt' as never },
  dangling: { linkTarget: 'none' as never },
  'a/inner': { linkTarget: '/etc' as never },
});

describe('a source', () => {
  test.each([
    ['a', ['a:  b b/c.txt b/d.md e.txt inner']],
    ['a/', ['a:  b b/c.txt b/d.md e.txt inner']],
    ['/a/b', ['b:  c.txt d.md']],
    ['./a/./b/../b', ['b:  c.txt d.md']],
    ['../../a/b', ['b:  c.txt d.md']],
    ['a/e.txt', ['e.txt: ']],
    ['package*.json', ['package-lock.json: ', 'package.json: ']],
    ['a/*', ['b:  c.txt d.md', 'e.txt: ', 'inner:  ']],
    ['none*', []],
  ])('%s', (text, expected) => {
    const etc = memoryTree({ ...treeSpec, 'etc/x': {} });
    if (text === 'a/*') expect(selected(etc, [text])).toEqual(['b:  c.txt d.md', 'e.txt: ', 'inner:  x']);
    else expect(selected(tree, [text])).toEqual(expected);
  });

  test('that is a link is followed inside the tree and keeps its own name', () => {
    expect(selected(tree, ['link', 'up'])).toEqual(['link:  c.txt d.md', 'up: ']);
    expect(selected(tree, ['link/c.txt'])).toEqual(['c.txt: ']);
  });

  test('that a wildcard finds is followed as well; below a folder links stay links', () => {
    const [item] = selectCopy(tree, operationOf(['a'])).items;
    if (item?.kind !== 'entries') throw new Error('no entries');
    expect(item.entries.at(-1)?.entry).toMatchObject({ kind: 'symlink', linkTarget: '/etc' });
    expect(selected(tree, ['u*'])).toEqual(['up: ']);
  });
});

const treeSpec = {
  'a/b/c.txt': {},
  'a/b/d.md': {},
  'a/e.txt': {},
  'a/inner': { linkTarget: '/etc' as never },
};

describe('a source that is missing', () => {
  const location: SourceLocation = {
    file: 'Dockerfile',
    text: 'COPY pakage.json /',
    range: { start: { line: 1, column: 6 }, end: { line: 1, column: 17 } },
  };

  test('is named with the nearest name there is, and where it stands in the Dockerfile', () => {
    const operands = [{ kind: 'pattern', text: 'pakage.json', location }] as const;
    expect(failureOf(tree, [], { operands })).toMatchObject({
      code: 'copy-source-missing',
      message: '"pakage.json" is not in stage "build"',
      hint: 'Did you mean "package.json"?',
      source: location,
    });
    expect(failureOf(tree, ['A/b/c.txt'])).toMatchObject({ hint: 'Did you mean "a"?' });
    expect(failureOf(tree, ['a/b/c.text'])).toMatchObject({ hint: 'Did you mean "a/b/c.txt"?' });
    expect(failureOf(tree, ['something/else'])).toMatchObject({
      hint: 'Name a path relative to the root of stage "build".',
    });
  });

  test.each(['dangling', 'dang*', 'none/*.txt', 'a/e.txt/x'])('%s is an error', (text) => {
    expect(failureOf(tree, [text])).toMatchObject({ code: 'copy-source-missing' });
  });

  test('says so when an ignore file hides it', () => {
    using folder = folderOf({ 'dist/app.js': '' });
    const ignoring = openDirectoryTree(folder.path, { ignore: parseIgnoreFile('dist', '.dockerignore') });
    expect(failureOf(ignoring, ['dist/app.js'])).toMatchObject({
      code: 'copy-source-missing',
      hint: '.dockerignore excludes it: take it back there with !dist/app.js.',
    });
  });

  test('never leads out of the context', () => {
    using folder = folderOf({
      'context/link': { link: '../secret' },
      secret: '',
      'context/abs': { link: '/etc/passwd' },
    });
    const context = openDirectoryTree(folder.at('context'));
    for (const text of ['link', 'abs', '../secret', 'link/../../secret']) {
      expect(failureOf(context, [text])).toMatchObject({ code: 'copy-source-missing' });
    }
  });
});

describe('a pattern that is not valid', () => {
  test.each<[string[], Partial<CopyOperation>]>([
    [['[a'], {}],
    [['a'], { excludes: ['[a'] }],
    [['a'], { excludes: ['!'] }],
    [['a/[x'], { parents: true }],
  ])('%j %j is an error', (from, given) => {
    expect(failureOf(tree, from, given)).toMatchObject({ code: 'copy-pattern-invalid' });
  });
});

describe('--exclude', () => {
  test('leaves out a file a wildcard found, not one that is named', () => {
    expect(selected(tree, ['package*'], { excludes: ['*-lock.json'] })).toEqual(['package.json: ']);
    expect(selected(tree, ['package-lock.json'], { excludes: ['*-lock.json'] })).toEqual(['package-lock.json: ']);
  });

  test('takes a folder back for what ! names below it', () => {
    expect(selected(tree, ['a'], { excludes: ['*', '!b/d.md'] })).toEqual(['a:  b b/d.md']);
    expect(selected(tree, ['a'], { excludes: ['**'] })).toEqual(['a: ']);
  });
});

describe('--parents', () => {
  test.each([
    [['a/b/c.txt'], [':  a a/b a/b/c.txt']],
    [['a/b'], [':  a a/b a/b/c.txt a/b/d.md']],
    [['a/./b'], ['a:  b b/c.txt b/d.md']],
    [['/a/./b/c.txt'], ['a:  b b/c.txt']],
    [['*/b/*.md'], [':  a a/b a/b/d.md']],
    [['a/*/./c.txt'], ['b:  c.txt', 'e.txt: ', 'inner: ']],
    [['**/*.none'], [': ']],
    [['link/./c.txt'], ['link:  c.txt']],
  ])('%j', (from, expected) => {
    const spec = memoryTree({ ...treeSpec, link: { linkTarget: 'a/b' as never }, etc: { kind: 'directory' } });
    expect(selected(spec, from, { parents: true })).toEqual(expected);
  });

  test('does not go through a link after the pivot', () => {
    expect(failureOf(tree, ['link/c.txt'], { parents: true })).toMatchObject({ code: 'copy-source-missing' });
  });
});

describe('the content key', () => {
  const spec: TreeSpec = { 'd/f': 'one', 'd/g': 'two', 'd/l': { link: 'f' } };

  function keyAfter(change: (path: string) => void, from = ['d'], given: Partial<CopyOperation> = {}): string {
    using folder = folderOf(spec);
    change(folder.path);
    const selection = selectCopy(openDirectoryTree(folder.path), operationOf(from, given));
    const digests = new Map<TreeEntry, ReturnType<typeof digestOf>>(
      selectionFiles(selection).map((entry) => [entry, digestOf(readFileSync(join(folder.path, entry.path)))]),
    );
    return selectionDigest(selection, digests);
  }

  const before = keyAfter(() => {});

  test.each<[string, (path: string) => void]>([
    ['nothing is changed', () => {}],
    ['a file is touched', (path) => utimesSync(join(path, 'd/f'), 1, 1)],
    ['a file outside the source is made', (path) => writeFileSync(join(path, 'other'), '')],
    ['the mode of the source folder changes', (path) => chmodSync(join(path, 'd'), 0o700)],
  ])('stays when %s', (_, change) => {
    expect(keyAfter(change)).toBe(before);
  });

  test.each<[string, (path: string) => void]>([
    ['content changes', (path) => writeFileSync(join(path, 'd/f'), 'ONE')],
    ['a mode changes', (path) => chmodSync(join(path, 'd/f'), 0o600)],
    ['a file is added', (path) => writeFileSync(join(path, 'd/h'), '')],
  ])('changes when %s', (_, change) => {
    expect(keyAfter(change)).not.toBe(before);
  });

  test('tells apart names, link targets, hard links and what is unpacked', () => {
    const keys = [
      before,
      keyAfter(() => {}, ['d/f']),
      keyAfter(() => {}, ['d/g']),
      keyAfter(() => {}, ['d/f', 'd/g']),
      keyAfter(() => {}, ['d/g', 'd/f']),
      keyAfter(() => {}, ['d/f'], { kind: 'add' }),
      keyAfter(() => {}, ['d'], { excludes: ['g'] }),
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });

  test('is this one, as long as the cache is not to be missed by everyone', () => {
    const golden = memoryTree({
      'd/f': { text: 'one', contentDigest: digestOf('one') },
      'd/l': { linkTarget: 'f' as never },
      'd/s': { kind: 'directory', mode: 0o700, uid: 1, gid: 2 },
    });
    const selection = selectCopy(golden, operationOf(['d']));
    expect(selectionFiles(selection)).toEqual([]);
    expect(selectionDigest(selection, new Map())).toMatchInlineSnapshot(
      `"sha256:f7ffbbe97b05aa54f66feb22c19be136d71af3fcfe2930c9b6b1b63763697403"`,
    );
  });
});
