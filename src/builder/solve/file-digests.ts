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
  const files = entries.filter((entry) => entry.kind === 'file');
  if (memo) return memo.digests(files, signal);
  const digests = new Map(
    files.flatMap((entry) => (entry.contentDigest ? [[entry, entry.contentDigest] as const] : [])),
  );
  const unknown = files.filter((entry) => !digests.has(entry));
  const contents = unknown.flatMap((entry) => (entry.content ? [entry.content] : []));
  const read = contents.length === 0 ? [] : await store.hashContents(contents, signal);
  for (const [index, entry] of unknown.entries()) {
    const digest = read[index];
    if (digest) digests.set(entry, digest);
  }
  return digests;
}
