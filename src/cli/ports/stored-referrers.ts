/**
 * What refers to images of the local store: signatures, attestations and the like. Kept as `tsbuild registry serve` keeps it
 * when it is pushed: by its digest in the repository of the image, and on the list under the tag the spec makes of the
 * subject's digest.
 */
import {
  attachmentTags,
  type Descriptor,
  type Digest,
  familiarReference,
  isIndexType,
  parseManifest,
  parseReference,
  type Reference,
  readManifest,
  referrerEntry,
  referrersTag,
} from '../../image/index.ts';
import type { LocalStore } from '../../layers/index.ts';
import { addReferrer, referrersOf } from '../../registry/index.ts';
import { servedStore } from './served-store.ts';

/** What is on the lists of any repository: a manifest is the same in all. */
export async function storedReferrers(
  store: LocalStore,
  subject: Digest,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  const storage = servedStore(store, true);
  const found = new Map<Digest, Descriptor>();
  for (const { repository, tag } of await storage.records()) {
    if (tag !== referrersTag(subject)) continue;
    for (const item of await referrersOf(storage, repository, subject, signal)) found.set(item.digest, item);
  }
  return [...found.values()];
}

/** Makes a manifest of the store findable as what refers to its subject, beside an image of this name. */
export async function keepStoredReferrer(
  store: LocalStore,
  referrer: Descriptor,
  beside: Reference,
  signal: AbortSignal,
): Promise<void> {
  const { mediaType, digest, size } = referrer;
  const target = { mediaType, digest, size };
  const document = parseManifest(await readManifest(store, target, signal), mediaType);
  // A list may name what does not say so itself: nobody would find it here, and nobody shall.
  if (document.subject === undefined) return;
  const storage = servedStore(store, true);
  const repository = familiarReference({ registry: beside.registry, repository: beside.repository });
  await storage.record({ repository, tag: undefined, target });
  await addReferrer(storage, repository, document.subject, referrerEntry(target, document), signal);
}

/** Takes off the list what refers to an image, and to what refers to it, in a repository that has the image no more. */
export async function forgetStoredReferrers(
  store: LocalStore,
  target: Descriptor,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const storage = servedStore(store, true);
  const { registry, repository: path } = parseReference(name);
  const repository = familiarReference({ registry, repository: path });
  for (const manifest of [target, ...(await childrenOfIndex(store, target, signal))]) {
    const own = (await storage.records()).filter((record) => record.repository === repository);
    if (own.some((record) => record.target.digest === manifest.digest)) continue;
    const attached = own.filter(({ tag }) => tag !== undefined && attachmentTags(manifest.digest).includes(tag));
    for (const { tag, target: attachment } of attached) {
      if (tag !== undefined) await storage.forget(repository, { tag });
      await forgetStoredReferrers(store, attachment, name, signal);
    }
    if (!own.some(({ tag }) => tag === referrersTag(manifest.digest))) continue;
    const referrers = await referrersOf(storage, repository, manifest.digest, signal);
    await storage.forget(repository, { tag: referrersTag(manifest.digest) });
    for (const referrer of referrers) {
      await storage.forget(repository, { digest: referrer.digest });
      await forgetStoredReferrers(store, referrer, name, signal);
    }
  }
}

async function childrenOfIndex(
  store: LocalStore,
  target: Descriptor,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  if (!isIndexType(target.mediaType) || !store.hasBlob(target.digest)) return [];
  const document = parseManifest(await readManifest(store, target, signal), target.mediaType);
  return document.kind === 'index' ? document.manifests : [];
}
