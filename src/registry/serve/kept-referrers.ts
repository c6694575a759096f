/**
 * Lists of referrers, kept as the spec's fallback index under a tag ("Referrers Tag Schema"), so that what is served remains
 * an ordinary set of images and survives a restart.
 * Invariant: a list names only manifests that have a record of their own in the repository.
 */
import {
  type Descriptor,
  type Digest,
  describe,
  isReferrersTag,
  maxManifestBytes,
  mediaTypes,
  oneChunk,
  parseManifest,
  referrersTag,
  serializeManifest,
} from '../../image/index.ts';
import { Refusal } from './answer.ts';
import type { ServedRecord, ServedStorage } from './storage.ts';

/** Puts a manifest that is here on the list of its subject. */
export async function addReferrer(
  storage: ServedStorage,
  repository: string,
  subject: Descriptor,
  entry: Descriptor,
  signal: AbortSignal,
): Promise<void> {
  const existing = await referrersOf(storage, repository, subject.digest, signal);
  if (existing.some(({ digest }) => digest === entry.digest)) return;
  await keepReferrers(storage, repository, referrersTag(subject.digest), [...existing, entry], signal);
}

/** Takes a manifest that has left the repository off every list of referrers, which would hold its content. */
export async function forgetReferrer(
  storage: ServedStorage,
  repository: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<void> {
  const own = await recordsOf(storage, repository);
  if (own.some(({ target }) => target.digest === digest)) return;
  for (const { tag, target } of own) {
    if (tag === undefined || !isReferrersTag(tag)) continue;
    const listed = await listedIn(storage, target, signal);
    const rest = listed.filter((item) => item.digest !== digest);
    if (rest.length < listed.length) await keepReferrers(storage, repository, tag, rest, signal);
  }
}

async function keepReferrers(
  storage: ServedStorage,
  repository: string,
  tag: string,
  manifests: readonly Descriptor[],
  signal: AbortSignal,
): Promise<void> {
  if (manifests.length === 0) return await storage.forget(repository, { tag });
  const bytes = serializeManifest({ kind: 'index', mediaType: mediaTypes.ociIndex, manifests });
  if (bytes.byteLength > maxManifestBytes) throw new Refusal(413, 'SIZE_INVALID', 'too much refers to this manifest');
  const target = describe(mediaTypes.ociIndex, bytes);
  await storage.content.put(target, async () => oneChunk(bytes), { signal });
  await storage.record({ repository, tag, target });
}

/** What refers to a manifest: those whose own manifest is still in the repository. */
export async function referrersOf(
  storage: ServedStorage,
  repository: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  const own = await recordsOf(storage, repository);
  const list = own.find(({ tag }) => tag === referrersTag(digest))?.target;
  if (!list) return [];
  const present = new Set(own.map(({ target }) => target.digest));
  return (await listedIn(storage, list, signal)).filter((item) => present.has(item.digest));
}

async function listedIn(storage: ServedStorage, list: Descriptor, signal: AbortSignal): Promise<readonly Descriptor[]> {
  const document = parseManifest(await bytesOf(storage, list, signal), list.mediaType);
  return document.kind === 'index' ? document.manifests : [];
}

export async function recordsOf(storage: ServedStorage, repository: string): Promise<readonly ServedRecord[]> {
  return (await storage.records()).filter((record) => record.repository === repository);
}

export async function bytesOf(storage: ServedStorage, target: Descriptor, signal: AbortSignal): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await storage.content.open(target, signal)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
