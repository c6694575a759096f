/** A part of a tree as one thing: its content digest for keys, and a layer of it for bind mounts. */
import { type BytePath, bytePathFromText, canonicalJson } from '../../core/index.ts';
import { type Digest, digestOf } from '../../image/index.ts';
import type { LayerEntry, LayerRef, Tree, TreeEntry } from '../../layers/index.ts';
import { fileDigests } from './file-digests.ts';
import type { OpenedSource, SolveEnvironment } from './types.ts';

/** Names everything below a path of a tree, file times aside. */
export async function contentOf(
  environment: SolveEnvironment,
  opened: OpenedSource,
  path: string,
  signal: AbortSignal,
): Promise<Digest> {
  const entries = collect(opened.tree, path);
  const digests = await fileDigests(environment, opened, entries, signal);
  const document = entries.map((entry) => [
    entry.path,
    entry.kind,
    entry.mode,
    entry.uid,
    entry.gid,
    entry.linkTarget ?? null,
    digests.get(entry) ?? null,
  ]);
  return digestOf(canonicalJson(document));
}

/** A layer in the store that holds the part of a tree at the path it has there. */
export async function layerOf(
  { store }: SolveEnvironment,
  opened: OpenedSource,
  path: string,
  signal: AbortSignal,
): Promise<LayerRef> {
  return store.writeLayer(collect(opened.tree, path).map(asLayerEntry), { signal });
}

/** The directories down to a path and everything below it, in byte order, parents first. */
function collect(tree: Tree, text: string): TreeEntry[] {
  const start = tree.resolve(bytePathFromText(text.slice(1)), { followLast: true });
  const entries: TreeEntry[] = [];
  const parts = start === '' ? [] : start.split('/');
  for (let depth = 1; depth < parts.length; depth++) {
    const parent = tree.lookup(parts.slice(0, depth).join('/') as BytePath);
    if (parent) entries.push(parent);
  }
  const visit = (entry: TreeEntry): void => {
    if (entry.path !== '') entries.push(entry);
    if (entry.kind === 'directory') for (const child of tree.list(entry.path)) visit(child);
  };
  const root = tree.lookup(start);
  if (root) visit(root);
  return entries.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

function asLayerEntry({ inode: _inode, contentDigest: _digest, ...entry }: TreeEntry): LayerEntry {
  return entry;
}
