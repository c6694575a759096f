/**
 * The form in which an image leaves the store: layers compressed, media types as asked. Made when an export needs it;
 * compressed layers are remembered by the store, so publishing twice costs nothing.
 */
import { allOrNothing } from '../../core/index.ts';
import {
  attestedDigest,
  type Compression,
  type Descriptor,
  type ImageManifest,
  layerCompression,
  mediaTypes,
  type Platform,
  parseImageConfig,
  parseManifest,
  readBlob,
  readManifest,
  serializeManifest,
  toDockerLayerType,
  toOciLayerType,
} from '../../image/index.ts';
import type { LayerRef, Store } from '../../layers/index.ts';
import type { Annotation } from '../types.ts';
import { annotationsFor, annotationsMember } from './annotations.ts';

/** The form a layer is to have. */
export interface LayerForm {
  readonly compression?: Compression;
  readonly level?: number;
  /** Also recompress what is compressed already; without it only uncompressed layers change. */
  readonly force?: boolean;
  /** Makes the blob of a layer that was never needed locally present; called only when its bytes are. */
  readonly ensure: (layer: Descriptor, signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
}

export interface PublishOptions extends LayerForm {
  /** False: Docker's media types. Default: as they are. */
  readonly ociMediaTypes?: boolean;
  /** Added to those that are there. */
  readonly annotations?: readonly Annotation[];
  /** Of a manifest that stands in no index. */
  readonly platform?: Platform;
  /** What attestations are to call the images. Default: what they call them. */
  readonly names?: readonly string[];
  /** False: attestations in the form in which they look like images. Default: as they are. */
  readonly ociArtifact?: boolean;
}

/** The descriptor of the published form of a manifest or index of the store; itself when nothing has to change. */
export async function publishImage(store: Store, target: Descriptor, options: PublishOptions): Promise<Descriptor> {
  const { signal, annotations = [] } = options;
  const document = parseManifest(await readManifest(store, target, signal), target.mediaType);
  if (document.kind === 'index') {
    const published = await allOrNothing(
      signal,
      document.manifests.map((child) => async (inner) => {
        if (!store.hasBlob(child.digest) || attestedDigest(child) !== undefined) return child;
        const { platform } = child;
        const image = await publishImage(store, child, {
          ...options,
          ...(platform && { platform }),
          signal: inner,
        });
        const added = annotationsFor(annotations, 'manifest-descriptor', platform);
        if (image === child && Object.keys(added).length === 0) return child;
        return { ...child, ...image, ...annotationsMember(child.annotations, added) };
      }),
    );
    const manifests = await withAttestations(store, document.manifests, published, options);
    const mediaType = options.ociMediaTypes === false ? mediaTypes.dockerIndex : document.mediaType;
    const added = annotationsFor(annotations, 'index');
    const isSame = manifests.every((child, place) => child === document.manifests[place]);
    // Whoever wrote it may have said more, or in another order: what has its digest keeps its bytes.
    if (isSame && mediaType === document.mediaType && Object.keys(added).length === 0) return target;
    const said = annotationsMember(document.annotations, added);
    return store.putBytes(mediaType, serializeManifest({ ...document, mediaType, manifests, ...said }));
  }
  const published = await publishManifest(store, document, options);
  return published === document ? target : store.putBytes(published.mediaType, serializeManifest(published));
}

/** The entries of attestations, which go where their images went. */
async function withAttestations(
  store: Store,
  before: readonly Descriptor[],
  after: readonly Descriptor[],
  { names, ociArtifact, signal }: PublishOptions,
): Promise<Descriptor[]> {
  const entries: Descriptor[] = [];
  for (const entry of after) {
    const attested = attestedDigest(entry);
    const place = attested === undefined ? -1 : before.findIndex(({ digest }) => digest === attested);
    const [from, to] = [before[place], after[place]];
    if (!from || !to || !store.hasBlob(entry.digest)) {
      entries.push(entry);
      continue;
    }
    const { moveStatements } = await import('../attestations/move-statements.ts');
    const moved = await moveStatements(store, entry, {
      from,
      to,
      ...(to.platform && { platform: to.platform }),
      ...(names && { names }),
      ...(ociArtifact !== undefined && { ociArtifact }),
      signal,
    });
    entries.push(moved);
  }
  return entries;
}

/** One layer in the form asked for; itself when it has that, or is compressed and need not be `force`d. */
export async function publishLayer(
  store: Store,
  layer: LayerRef,
  { compression = 'gzip', level, force = false, ensure, signal }: LayerForm,
): Promise<Descriptor> {
  if (!mustChange(layer.blob, compression, force)) return layer.blob;
  await ensure(layer.blob, signal);
  return store.compress(layer, compression, { signal, ...(level !== undefined && { level }) });
}

function mustChange({ mediaType }: Descriptor, compression: Compression, force: boolean): boolean {
  const current = layerCompression(mediaType);
  return current !== undefined && current !== compression && (current === 'uncompressed' || force);
}

async function publishManifest(store: Store, document: ImageManifest, options: PublishOptions): Promise<ImageManifest> {
  const { compression = 'gzip', force = false, signal } = options;
  const changes = document.layers.some((layer) => mustChange(layer, compression, force));
  const docker = options.ociMediaTypes === false;
  const added = annotationsFor(options.annotations ?? [], 'manifest', options.platform);
  if (!changes && !docker && Object.keys(added).length === 0) return document;
  const config = parseImageConfig(await readBlob(store, document.config, signal));
  const layers = await allOrNothing(
    signal,
    document.layers.map((layer, index) => async (inner) => {
      const diffId = config.rootfs.diff_ids[index];
      return diffId === undefined ? layer : publishLayer(store, { diffId, blob: layer }, { ...options, signal: inner });
    }),
  );
  return {
    ...document,
    layers: layers.map((layer) => ({
      ...layer,
      mediaType: (docker ? toDockerLayerType : toOciLayerType)(layer.mediaType),
    })),
    ...(docker && {
      mediaType: mediaTypes.dockerManifest,
      config: { ...document.config, mediaType: mediaTypes.dockerConfig },
    }),
    ...annotationsMember(document.annotations, added),
  };
}
