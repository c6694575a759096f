/**
 * Writes a file system tree out of the store: as a tar (`-o type=tar`) or into a folder (`-o type=local`).
 * Invariant: whatever the tree and the folder hold, nothing outside the folder is touched (export-folder.ts).
 */
import type { BytePath } from '../../core/index.ts';
import { entryAt } from '../tree/entry-at.ts';
import type { EntryContent, LayerEntry, Tree, TreeEntry } from '../types.ts';

export type ExportTarget =
  | {
      readonly kind: 'tar';
      /** Not ended. */
      readonly out: NodeJS.WritableStream;
      readonly from?: BytePath;
      readonly signal?: AbortSignal;
    }
  | {
      readonly kind: 'directory';
      /** Made when it is not there. */
      readonly path: string;
      /** Remove what the tree does not have. */
      readonly deleteOthers?: boolean;
      /** False: everything belongs to the user who exports, as with BuildKit's local exporter. Default: as in the tree. */
      readonly keepOwners?: boolean;
      readonly from?: BytePath;
      readonly signal?: AbortSignal;
    };

/**
 * `from`: the directory of the tree that becomes the root. Default: the tree's root.
 * @returns sentences about what this process may not make (devices, owners, attributes)
 * @throws TsbuildError `output-failed`, `export-failed`, and what reading the layers throws
 */
export async function exportTree(tree: Tree, target: ExportTarget): Promise<readonly string[]> {
  const signal = target.signal ?? new AbortController().signal;
  // Walked each time it is gone through: a tree may have more entries than memory is to hold.
  const entries: Iterable<LayerEntry> = {
    [Symbol.iterator]: () => subtree(tree, target.from ?? ('' as BytePath)),
  };
  await tree.provide?.(contentsOf(entries), signal);
  if (target.kind === 'tar') {
    const { writeTreeArchive } = await import('./export-tar.ts');
    await writeTreeArchive(entries, target.out, signal);
    return [];
  }
  const { writeTreeFolder } = await import('./export-folder.ts');
  return writeTreeFolder(entries, { deleteOthers: false, keepOwners: true, ...target, signal });
}

function* contentsOf(entries: Iterable<LayerEntry>): Generator<EntryContent> {
  for (const { content } of entries) if (content) yield content;
}

/** The entries below a directory, paths relative to it, parents first; names of one file after the first are hardlinks. */
function* subtree(tree: Tree, from: BytePath): Generator<LayerEntry> {
  const firstNames = new Map<number, BytePath>();
  const relative = (path: string): BytePath => (from === '' ? path : path.slice(from.length + 1)) as BytePath;
  const walk = function* (entry: TreeEntry): Generator<LayerEntry> {
    const path = relative(entry.path);
    const first = entry.inode === 0 ? undefined : firstNames.get(entry.inode);
    if (first !== undefined) {
      const { content: _, ...metadata } = entry;
      yield { ...metadata, path, kind: 'hardlink', size: 0, linkTarget: first };
      return;
    }
    if (entry.inode !== 0) firstNames.set(entry.inode, path);
    yield entryAt(path, entry);
    if (entry.kind === 'directory') for (const child of tree.list(entry.path)) yield* walk(child);
  };
  const root = tree.lookup(from);
  if (root?.kind === 'directory') yield* walk({ ...root, path: from });
  else for (const child of tree.list(from)) yield* walk(child);
}
