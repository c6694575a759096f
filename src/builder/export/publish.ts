/**
 * The form in which an image leaves the store: layers compressed, media types as asked. Made when an export needs it;
 * compressed layers are remembered by the store, so publishing twice costs nothing.
 */
import { allOrNothing } from '../../core/index.ts';
import {
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
import type { Store } from '../../layers/index.ts';
import type { Annotation } from '../types.ts';
import { annotationsFor, annotationsMember } from './annotations.ts';

export interface PublishOptions {
  readonly compression?: Compression;
  readonly level?: number;
  /** Also recompress what is compressed already; without it only uncompressed layers change. */
  readonly force?: boolean;
  /** False: Docker's media types. Default: as they are. */
  readonly ociMediaTypes?: boolean;
  /** Added to those that are there. */
  readonly annotations?: readonly Annotation[];
  /** Of a manifest that stands in no index. */
  readonly platform?: Platform;
  /** Makes the blob of a layer that was never needed locally present; called only when its bytes are. */
  readonly ensure: (layer: Descriptor, signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
}

/** The descriptor of the published form of a manifest or index of the store; itself when nothing has to change. */
export async function publishImage(store: Store, target: Descriptor, options: PublishOptions): Promise<Descriptor> {
  const { signal, annotations = [] } = options;
  const document = parseManifest(await readManifest(store, target, signal), target.mediaType);
  if (document.kind === 'index') {
    const manifests = await allOrNothing(
      signal,
      document.manifests.map((child) => async (inner) => {
        if (!store.hasBlob(child.digest)) return child;
        const { platform } = child;
        const published = await publishImage(store, child, {
          ...options,
          ...(platform && { platform }),
          signal: inner,
        });
        const added = annotationsFor(annotations, 'manifest-descriptor', platform);
        return { ...child, ...published, ...annotationsMember(child.annotations, added) };
      }),
    );
    const mediaType = options.ociMediaTypes === false ? mediaTypes.dockerIndex : document.mediaType;
    const added = annotationsMember(document.annotations, annotationsFor(annotations, 'index'));
    return store.putBytes(mediaType, serializeManifest({ ...document, mediaType, manifests, ...added }));
  }
  const published = await publishManifest(store, document, options);
  return published === document ? target : store.putBytes(published.mediaType, serializeManifest(published));
}

async function publishManifest(store: Store, document: ImageManifest, options: PublishOptions): Promise<ImageManifest> {
  const { compression = 'gzip', signal } = options;
  const mustChange = (layer: Descriptor) => {
    const current = layerCompression(layer.mediaType);
    return current !== undefined && current !== compression && (current === 'uncompressed' || options.force === true);
  };
  const docker = options.ociMediaTypes === false;
  const added = annotationsFor(options.annotations ?? [], 'manifest', options.platform);
  if (!document.layers.some(mustChange) && !docker && Object.keys(added).length === 0) return document;
  const config = parseImageConfig(await readBlob(store, document.config, signal));
  const layers = await allOrNothing(
    signal,
    document.layers.map((layer, index) => async (inner) => {
      const diffId = config.rootfs.diff_ids[index];
      if (!mustChange(layer) || diffId === undefined) return layer;
      await options.ensure(layer, inner);
      return store.compress({ diffId, blob: layer }, compression, {
        signal: inner,
        ...(options.level !== undefined && { level: options.level }),
      });
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
