/** Content digests of the files of a tree: known ones first, remembered ones next, the rest read in a worker. */
import type { Digest } from '../../image/index.ts';
import type { TreeEntry } from '../../layers/index.ts';
import type { OpenedSource, SolveEnvironment } from './types.ts';

export async function fileDigests(
  { store }: SolveEnvironment,
  { memo }: OpenedSource,
  entries: readonly TreeEntry[],
  signal: AbortSignal,
): Promise<Map<TreeEntry, Digest>> {
  const digests = new Map<TreeEntry, Digest>();
  const unknown: TreeEntry[] = [];
  for (const entry of entries) {
    if (entry.kind !== 'file') continue;
    const known = entry.contentDigest ?? memo?.get(entry);
    if (known) digests.set(entry, known);
    else unknown.push(entry);
  }
  const contents = unknown.flatMap((entry) => (entry.content ? [entry.content] : []));
  const read = contents.length === 0 ? [] : await store.hashContents(contents, signal);
  for (const [index, digest] of read.entries()) {
    const entry = unknown[index];
    if (!entry) continue;
    digests.set(entry, digest);
    memo?.set(entry, digest);
  }
  return digests;
}
