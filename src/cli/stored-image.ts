/** What the store knows of an image, gathered for lists, inspection and publishing. */
import { TsbuildError } from '../core/index.ts';
import {
  type BlobSource,
  type Descriptor,
  type Digest,
  type ImageConfig,
  type ImageIndex,
  type ImageManifest,
  isPlatformImage,
  type Platform,
  parseImageConfig,
  parseManifest,
  platformMatch,
  readBlob,
  readManifest,
  requireImage,
  selectPlatform,
} from '../image/index.ts';
import type { LayerRef, Store } from '../layers/index.ts';

export interface ImageView {
  /** Where it was read. */
  readonly source: BlobSource;
  readonly target: Descriptor;
  /** Present when the name stands for an index. */
  readonly index: ImageIndex | undefined;
  readonly descriptor: Descriptor;
  readonly manifest: ImageManifest;
  readonly config: ImageConfig;
  /** Bytes of configuration and layers as they are kept or, for layers still at the registry, will come. */
  readonly size: number;
}

/**
 * The image a name stands for on a platform; of an index without that platform, the first image that is here, or with
 * `exactly` none.
 * @throws TsbuildError `image-unknown` when only parts are here, `platform-not-found`
 */
export async function viewImage(
  store: Store,
  target: Descriptor,
  platform: Platform,
  signal: AbortSignal,
  options: { readonly exactly?: boolean } = {},
): Promise<ImageView> {
  const document = parseManifest(await readManifest(store, target, signal), target.mediaType);
  if (document.kind === 'manifest')
    return await viewManifest(store, { target, index: undefined, descriptor: target }, document, signal);
  const here = document.manifests.filter((item) => isPlatformImage(item) && store.hasBlob(item.digest));
  if (options.exactly) selectPlatform({ ...document, manifests: here }, platform, 'the index in the local store');
  const ranked = here.toSorted((a, b) => score(platform, b) - score(platform, a));
  // An index may list one manifest ten thousand times: each is read once.
  const tried = new Set<Digest>();
  for (const descriptor of ranked) {
    if (tried.has(descriptor.digest)) continue;
    tried.add(descriptor.digest);
    const child = parseManifest(await readManifest(store, descriptor, signal), descriptor.mediaType);
    if (child.kind === 'manifest' && store.hasBlob(child.config.digest)) {
      return await viewManifest(store, { target, index: document, descriptor }, child, signal);
    }
  }
  throw new TsbuildError({
    code: 'image-unknown',
    message: `the local store has no image of the index ${target.digest}`,
    hint: 'Pull it again.',
  });
}

/** The images of an index that are here; their layers may still be at the registry. */
export async function completeManifests(store: Store, index: ImageIndex, signal: AbortSignal): Promise<Descriptor[]> {
  const complete = new Map<Digest, boolean>();
  for (const { digest, ...rest } of index.manifests) {
    if (complete.has(digest)) continue;
    const child = store.hasBlob(digest)
      ? parseManifest(await readManifest(store, { digest, ...rest }, signal), rest.mediaType)
      : undefined;
    complete.set(digest, child?.kind === 'manifest' && store.hasBlob(child.config.digest));
  }
  return index.manifests.filter(({ digest }) => complete.get(digest));
}

/** Brings the layers here that were never needed, of an image or of every image of an index that is here. */
export async function fetchMissing(
  store: Store,
  target: Descriptor,
  fetch: (layer: LayerRef, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const document = parseManifest(await readManifest(store, target, signal), target.mediaType);
  if (document.kind === 'index') {
    const children = new Map((await completeManifests(store, document, signal)).map((child) => [child.digest, child]));
    for (const child of children.values()) await fetchMissing(store, child, fetch, signal);
    return;
  }
  const missing = document.layers.filter((layer) => !store.hasBlob(layer.digest));
  if (missing.length === 0) return;
  const diffIds = parseImageConfig(await readBlob(store, document.config, signal)).rootfs.diff_ids;
  await Promise.all(
    missing.map(async (blob) => {
      const diffId = diffIds[document.layers.indexOf(blob)];
      if (diffId !== undefined) await fetch({ diffId, blob }, signal);
    }),
  );
}

async function viewManifest(
  store: Store,
  where: Pick<ImageView, 'target' | 'index' | 'descriptor'>,
  manifest: ImageManifest,
  signal: AbortSignal,
): Promise<ImageView> {
  requireImage(manifest, where.descriptor.digest);
  const config = parseImageConfig(await readBlob(store, manifest.config, signal));
  const size = manifest.layers.reduce((sum, layer) => sum + layer.size, manifest.config.size);
  return { ...where, source: store, manifest, config, size };
}

function score(platform: Platform, descriptor: Descriptor): number {
  return descriptor.platform ? platformMatch(platform, descriptor.platform) : 0;
}
