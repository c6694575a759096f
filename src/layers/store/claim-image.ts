/**
 * Marks what an image consists of as in use, so that `prune` in another process leaves it until this one ends, whatever
 * becomes of the image's names meanwhile.
 * Invariant: what is not here stays where it is: an image may be used whose base layers were never needed.
 */
import {
  type Descriptor,
  type Digest,
  type ImageIndex,
  type ImageManifest,
  isIndexType,
  isManifestType,
  parseManifest,
  readManifest,
} from '../../image/index.ts';
import type { Store } from '../types.ts';
import { blobMissing } from './failures.ts';

/** Resolves to the configurations and layers that are not here. @throws TsbuildError `blob-missing` when the image's own manifest is not */
export async function claimImage(
  store: Pick<Store, 'name' | 'hasBlob' | 'open' | 'resolve'>,
  target: Descriptor,
  signal: AbortSignal,
  // An index may list one manifest ten thousand times, and that one do the same: each is looked at once.
  seen: Set<Digest> = new Set(),
): Promise<readonly Digest[]> {
  seen.add(target.digest);
  if (!store.hasBlob(target.digest)) throw blobMissing(target.digest);
  const document = parseManifest(await readManifest(store, target, signal), target.mediaType);
  const absent: Digest[] = [];
  for (const part of partsOf(document)) {
    if (seen.has(part.digest)) continue;
    seen.add(part.digest);
    const isHere = store.hasBlob(part.digest);
    if (isHere && isDocument(part)) absent.push(...(await claimImage(store, part, signal, seen)));
    // The images of an index for other platforms need not be here.
    else if (!isHere && document.kind === 'manifest') absent.push(part.digest);
  }
  return absent;
}

function partsOf(document: ImageManifest | ImageIndex): readonly Descriptor[] {
  return document.kind === 'index' ? document.manifests : [document.config, ...document.layers];
}

function isDocument({ mediaType }: Descriptor): boolean {
  return isManifestType(mediaType) || isIndexType(mediaType);
}
