/**
 * A list of layer entries as a Tree: what an unpacked archive is, without ever having been a folder.
 * Invariant: entries are sorted with parents first, and hardlinks link to entries of the list, as `LayerDraft.finish`
 * gives them.
 */
import { type BytePath, bytePathToText, TsbuildError } from '../../../core/index.ts';
import { type LayerEntry, readRange, type Tree, type TreeEntry } from '../../../layers/index.ts';
import type { IgnoreRules } from '../ignore.ts';
import type { PatternState } from '../pattern-set.ts';
import { baseName, parentOf, resolveInTree, rootPath } from '../tree-path.ts';
import { readContent } from './read-archive.ts';

export interface EntryTree extends Tree {
  /** The ignore file whose rules hide this path, which the archive has. */
  hiddenBy(path: BytePath): string | undefined;
}

export function treeOfEntries(entries: readonly LayerEntry[], ignore?: IgnoreRules): EntryTree {
  const whole = indexOf(entries);
  const shown = ignore ? withoutIgnored(whole, ignore) : whole;
  const tree: EntryTree = {
    lookup: (path) => shown.entries.get(path),
    list: (path) => shown.children.get(path) ?? [],
    resolve: (path, options) => resolveInTree(path, (at) => shown.entries.get(at), options?.followLast ?? true),
    readFile: async (path, limit) => readWhole(shown.entries.get(tree.resolve(path)), limit),
    hiddenBy: (path) => (!shown.entries.has(path) && whole.entries.has(path) ? ignore?.file : undefined),
  };
  return tree;
}

interface Index {
  readonly entries: Map<BytePath, TreeEntry>;
  readonly children: Map<BytePath, TreeEntry[]>;
}

function indexOf(list: readonly LayerEntry[]): Index {
  const index = emptyIndex();
  const linkTargets = new Set<string>();
  for (const { kind, linkTarget } of list) if (kind === 'hardlink' && linkTarget) linkTargets.add(linkTarget);
  let inodes = 0;
  for (const entry of list) {
    const linked =
      entry.kind === 'hardlink' && entry.linkTarget !== undefined ? index.entries.get(entry.linkTarget) : undefined;
    if (linked) add(index, { ...linked, path: entry.path });
    else add(index, { ...entry, inode: linkTargets.has(entry.path) ? ++inodes : 0 });
  }
  return index;
}

function emptyIndex(): Index {
  const root: TreeEntry = {
    path: rootPath,
    kind: 'directory',
    mode: 0o755,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: 0n,
    inode: 0,
  };
  return { entries: new Map([[rootPath, root]]), children: new Map([[rootPath, []]]) };
}

function add(index: Index, entry: TreeEntry): void {
  index.entries.set(entry.path, entry);
  index.children.get(parentOf(entry.path))?.push(entry);
  if (entry.kind === 'directory') index.children.set(entry.path, []);
}

/** What the rules leave; an ignored folder stays when something below it is taken back. */
function withoutIgnored(whole: Index, { patterns }: IgnoreRules): Index {
  const kept = emptyIndex();
  const visit = (folder: BytePath, state: PatternState): readonly TreeEntry[] => {
    const found: TreeEntry[] = [];
    for (const entry of whole.children.get(folder) ?? []) {
      const name = baseName(entry.path);
      const answer = patterns.match(state, name);
      if (entry.kind !== 'directory') {
        if (!answer.matched) found.push(entry);
        continue;
      }
      const below = patterns.enter(state, name, answer);
      if (answer.matched && !patterns.mayChangeBelow(below, 'exception')) continue;
      const inside = visit(entry.path, below);
      if (!answer.matched || inside.length > 0) found.push(entry, ...inside);
    }
    return found;
  };
  for (const entry of visit(rootPath, patterns.root)) add(kept, entry);
  return kept;
}

async function readWhole(entry: TreeEntry | undefined, limit: number): Promise<Buffer | undefined> {
  if (entry?.kind !== 'file' || !entry.content) return undefined;
  if (entry.size > limit) {
    throw new TsbuildError({
      code: 'file-too-large',
      message: `${bytePathToText(entry.path)} has ${entry.size} bytes; at most ${limit} are read`,
      hint: 'Make the file smaller.',
    });
  }
  if (entry.content.kind === 'range') return readRange(entry.content, entry.size);
  const chunks: Uint8Array[] = [];
  for await (const chunk of readContent(entry.content, entry.size)) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}
