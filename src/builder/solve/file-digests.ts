/** Content digests of the files of a tree: known or remembered ones, the rest read in a worker. */
import type { Digest } from '../../image/index.ts';
import type { TreeEntry } from '../../layers/index.ts';
import type { OpenedSource, SolveEnvironment } from './types.ts';

export async function fileDigests(
  { store }: SolveEnvironment,
  { memo }: OpenedSource,
  entries: readonly TreeEntry[],
  signal: AbortSignal,
): Promise<ReadonlyMap<TreeEntry, Digest>> {
  const digests = new Map<TreeEntry, Digest>();
  const unknown: TreeEntry[] = [];
  for (const entry of entries) {
    if (entry.kind !== 'file') continue;
    if (entry.contentDigest) digests.set(entry, entry.contentDigest);
    else unknown.push(entry);
  }
  if (memo) {
    for (const [entry, digest] of await memo.digests(unknown, signal)) digests.set(entry, digest);
    return digests;
  }
  const contents = unknown.flatMap((entry) => (entry.content ? [entry.content] : []));
  const read = contents.length === 0 ? [] : await store.hashContents(contents, signal);
  for (const [index, entry] of unknown.entries()) {
    const digest = read[index];
    if (digest) digests.set(entry, digest);
  }
  return digests;
}
