/** Trees for tests of COPY: folders on disk from a description, and destination trees that exist only in memory. */
import { chmodSync, linkSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { baseName, parentOf, resolveInTree } from '../../src/builder/context/index.ts';
import { type BytePath, bytePathFromText, compareBytePaths } from '../../src/core/index.ts';
import type { LayerEntry, Tree, TreeEntry } from '../../src/layers/index.ts';

/** `'a/b': 'text'`, `'dir/': ''`, `'link': { link: 'target' }`, `'x': { text, mode }`, `'y': { hard: 'x' }`. */
export type TreeSpec = Readonly<
  Record<string, string | { link: string } | { hard: string } | { text?: string; mode?: number }>
>;

export interface Folder extends Disposable {
  readonly path: string;
  at(name: string): string;
}

export function folderOf(spec: TreeSpec): Folder {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'tsbuild-copy-')));
  for (const [name, what] of Object.entries(spec)) {
    const file = join(path, name);
    mkdirSync(name.endsWith('/') ? file : dirname(file), { recursive: true });
    if (name.endsWith('/')) {
      if (typeof what === 'object' && 'mode' in what && what.mode !== undefined) chmodSync(file, what.mode);
    } else if (typeof what === 'string') writeFileSync(file, what);
    else if ('link' in what) symlinkSync(what.link, file);
    else if ('hard' in what) linkSync(join(path, what.hard), file);
    else {
      writeFileSync(file, what.text ?? '');
      if (what.mode !== undefined) chmodSync(file, what.mode);
    }
  }
  return {
    path,
    at: (name) => join(path, name),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

type MemoryEntry = Partial<Omit<TreeEntry, 'path'>> & { readonly text?: string };

/** A destination tree; parents of what is named are folders of mode 0755. */
export function memoryTree(entries: Readonly<Record<string, MemoryEntry>>): Tree {
  const all = new Map<BytePath, TreeEntry & { text?: string }>();
  let inode = 1;
  const add = (path: BytePath, given: MemoryEntry): void => {
    if (path !== '' && !all.has(parentOf(path))) add(parentOf(path), { kind: 'directory' });
    const kind = given.kind ?? (given.linkTarget !== undefined ? 'symlink' : 'file');
    const mode = kind === 'directory' ? 0o755 : kind === 'symlink' ? 0o777 : 0o644;
    const content = { kind: 'bytes', bytes: Buffer.from(given.text ?? '') } as const;
    inode += 1;
    all.set(path, {
      path,
      kind,
      mode,
      uid: 0,
      gid: 0,
      size: given.text?.length ?? 0,
      mtime: 5n,
      inode,
      ...(kind === 'file' ? { content } : {}),
      ...given,
    });
  };
  add(bytePathFromText(''), { kind: 'directory' });
  for (const [name, entry] of Object.entries(entries)) add(bytePathFromText(name), entry);
  const tree: Tree = {
    lookup: (path) => all.get(path),
    resolve: (path, options) => resolveInTree(path, (at) => all.get(at), options?.followLast ?? true),
    list: (path) =>
      [...all.values()]
        .filter((entry) => entry.path !== '' && parentOf(entry.path) === path)
        .sort((a, b) => compareBytePaths(baseName(a.path), baseName(b.path))),
    readFile: async (path) => {
      const entry = all.get(tree.resolve(path));
      return entry?.kind === 'file' ? Buffer.from(entry.text ?? '') : undefined;
    },
  };
  return tree;
}

/** One line an entry: `file 644 0:0 a/b`, with ` -> target` for links. */
export function linesOf(entries: readonly LayerEntry[]): string[] {
  return entries.map(
    (entry) =>
      `${entry.kind} ${entry.mode.toString(8)} ${entry.uid}:${entry.gid} ${entry.path}${entry.linkTarget === undefined ? '' : ` -> ${entry.linkTarget}`}`,
  );
}
