/**
 * Writes images of the store as archives.
 *
 * A docker archive holds both forms, as `docker save` writes it today: `manifest.json` for engines that read only that,
 * and an OCI layout for those with an image store of OCI manifests. Its layers are uncompressed unless asked otherwise, so
 * that loading it costs no inflating and its layers' digests are their diff IDs.
 * Invariants: what describes the archive comes before the blobs, so a reader of the stream knows what is coming; the same
 * images give the same bytes; every blob is verified as it is written, if this process has not done so.
 */
import { TsbuildError } from '../../core/index.ts';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  describe,
  type ImageManifest,
  isIndexType,
  isManifestType,
  isPlatformImage,
  mediaTypes,
  type Platform,
  parseImageConfig,
  parseManifest,
  parseReference,
  readBlob,
  readManifest,
  selectPlatform,
  serializeManifest,
} from '../../image/index.ts';
import { containerdNameAnnotation, imageName, refNameAnnotation } from '../store/image-list.ts';
import type { EnsureBlob, LayerRef, Store } from '../types.ts';
import { blobMember } from './image-archive.ts';
import { type ArchiveMember, memberOf, writeArchive } from './tar-writer.ts';

export interface SavedImage {
  readonly target: Descriptor;
  /** References, short or full; none for an image without a name. */
  readonly names: readonly string[];
}

export interface ArchiveOptions {
  /** Fetches a layer that is not in the store. Default: it is an error. */
  readonly ensure?: EnsureBlob;
}

export interface DockerArchiveOptions extends ArchiveOptions {
  /** Which image of an index to save; needed only where an index has several. */
  readonly platform?: Platform;
  /** Leave the layers in the form the manifest names. Default: uncompressed. */
  readonly keepCompression?: boolean;
}

/**
 * For `docker load` and `podman load`. `out` is not ended.
 * @throws TsbuildError `blob-missing`, `blob-damaged`, `platform-not-found`, `output-failed`
 */
export async function writeDockerArchive(
  store: Store,
  images: readonly SavedImage[],
  out: NodeJS.WritableStream,
  signal: AbortSignal,
  options: DockerArchiveOptions = {},
): Promise<void> {
  const saved: PlainImage[] = [];
  for (const image of images) saved.push(await plainImage(store, image, { ...options, signal }));
  const list = saved.map(({ config, layers, names }) => ({
    Config: blobMember(config.digest),
    // Whole names: podman takes a short one to be of localhost, docker shortens them itself.
    RepoTags: names.length > 0 ? names.map((name) => imageName(parseReference(name))) : null,
    Layers: layers.map((layer) => blobMember(layer.digest)),
  }));
  const blobs = new Map<Digest, ArchiveMember>();
  for (const { manifest, manifestBytes, config, layers } of saved) {
    blobs.set(manifest.digest, memberOf(blobMember(manifest.digest), manifestBytes));
    for (const part of [config, ...layers]) blobs.set(part.digest, blobOf(store, part, signal));
  }
  const entries = saved.flatMap(({ manifest, names }) => indexEntries(manifest, names));
  const members = [
    ...layoutMembers(entries),
    memberOf('manifest.json', JSON.stringify(list)),
    ...[...blobs.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
  ];
  await writeArchive(members, out, signal);
}

/** An OCI image layout in a tar: manifests, compression and media types as they are. `out` is not ended. */
export async function writeOciArchive(
  store: Store,
  images: readonly SavedImage[],
  out: NodeJS.WritableStream,
  signal: AbortSignal,
  options: ArchiveOptions = {},
): Promise<void> {
  const blobs = new Map<Digest, Descriptor>();
  for (const { target } of images) await collect(store, target, blobs, { ...options, signal });
  const entries = images.flatMap(({ target, names }) => indexEntries(target, names));
  const members = [...blobs.values()].map((blob) => blobOf(store, blob, signal));
  members.sort((a, b) => (a.name < b.name ? -1 : 1));
  await writeArchive([...layoutMembers(entries), ...members], out, signal);
}

/** The entries of an `index.json`: one per name, one in all for an image without. */
export function indexEntries(target: Descriptor, names: readonly string[]): Descriptor[] {
  if (names.length === 0) return [target];
  return names.map((text) => {
    const reference = parseReference(text);
    const name = imageName(reference);
    const annotations = { ...target.annotations, [containerdNameAnnotation]: name, [refNameAnnotation]: name };
    return { ...target, annotations };
  });
}

export const layoutMarker = '{"imageLayoutVersion":"1.0.0"}';

function layoutMembers(entries: readonly Descriptor[]): ArchiveMember[] {
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: entries };
  return [memberOf('oci-layout', layoutMarker), memberOf('index.json', JSON.stringify(index))];
}

type WithSignal<T> = T & { readonly signal: AbortSignal };

/** An image whose layers are in the store in the form they are saved in. */
interface PlainImage {
  readonly names: readonly string[];
  readonly manifest: Descriptor;
  readonly manifestBytes: Uint8Array;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

async function plainImage(
  store: Store,
  { target, names }: SavedImage,
  options: WithSignal<DockerArchiveOptions>,
): Promise<PlainImage> {
  const { signal } = options;
  const found = await platformManifest(store, target, options);
  const config = found.document.config;
  const diffIds = parseImageConfig(await readBlob(store, config, signal)).rootfs.diff_ids;
  const layers: Descriptor[] = [];
  for (const [i, diffId] of diffIds.entries()) {
    const blob = found.document.layers[i];
    if (blob === undefined) throw unequalLayers(target);
    const layer: LayerRef = { diffId, blob };
    if (options.keepCompression) {
      if (!store.hasBlob(blob.digest)) await options.ensure?.(layer, signal);
      layers.push(blob);
      continue;
    }
    layers.push(
      await store.compress(layer, 'uncompressed', { signal, ...(options.ensure && { ensure: options.ensure }) }),
    );
  }
  if (found.document.layers.length !== diffIds.length) throw unequalLayers(target);
  if (found.document.layers.every((layer, i) => layer.digest === layers[i]?.digest)) {
    return { names, manifest: found.descriptor, manifestBytes: found.bytes, config, layers: found.document.layers };
  }
  const { annotations } = found.document;
  const bytes = serializeManifest({
    kind: 'manifest',
    mediaType: mediaTypes.ociManifest,
    config: { ...config, mediaType: mediaTypes.ociConfig },
    layers,
    ...(annotations && { annotations }),
  });
  const manifest = describe(mediaTypes.ociManifest, bytes);
  return { names, manifest, manifestBytes: bytes, config, layers };
}

async function platformManifest(
  store: Store,
  target: Descriptor,
  { platform, signal }: WithSignal<DockerArchiveOptions>,
): Promise<{ readonly descriptor: Descriptor; readonly bytes: Buffer; readonly document: ImageManifest }> {
  const bytes = await readManifest(store, target, signal);
  const document = parseManifest(bytes, target.mediaType);
  if (document.kind === 'manifest') return { descriptor: target, bytes, document };
  const images = document.manifests.filter(isPlatformImage);
  const chosen = platform ? selectPlatform(document, platform, target.digest) : images[0];
  if (chosen && (platform || images.length === 1)) return platformManifest(store, chosen, { signal });
  throw new TsbuildError({
    code: 'platform-not-found',
    message: `${target.digest} holds ${images.length} images, and a docker archive takes one of them`,
    hint: 'Name one with --platform, or write an OCI archive.',
  });
}

async function collect(
  store: Store,
  descriptor: Descriptor,
  found: Map<Digest, Descriptor>,
  options: WithSignal<ArchiveOptions>,
): Promise<void> {
  if (found.has(descriptor.digest)) return;
  found.set(descriptor.digest, descriptor);
  if (!isManifestType(descriptor.mediaType) && !isIndexType(descriptor.mediaType)) return;
  const document = parseManifest(await readManifest(store, descriptor, options.signal), descriptor.mediaType);
  if (document.kind === 'manifest' && options.ensure)
    await fetchLayers(store, document, options.ensure, options.signal);
  for (const child of childrenOf(document)) await collect(store, child, found, options);
}

async function fetchLayers(
  store: Store,
  document: ImageManifest,
  ensure: EnsureBlob,
  signal: AbortSignal,
): Promise<void> {
  const missing = document.layers.filter((layer) => !store.hasBlob(layer.digest));
  if (missing.length === 0) return;
  const diffIds = parseImageConfig(await readBlob(store, document.config, signal)).rootfs.diff_ids;
  for (const blob of missing) {
    const diffId = diffIds[document.layers.indexOf(blob)];
    if (diffId !== undefined) await ensure({ diffId, blob }, signal);
  }
}

function blobOf(store: Store, descriptor: Descriptor, signal: AbortSignal): ArchiveMember {
  return {
    name: blobMember(descriptor.digest),
    size: descriptor.size,
    open: (memory) => (memory === 'reused' ? store.openPieces(descriptor, signal) : store.open(descriptor, signal)),
  };
}

function unequalLayers(target: Descriptor): TsbuildError {
  return new TsbuildError({
    code: 'manifest-invalid',
    message: `${target.digest} does not have as many layers as its configuration`,
    hint: 'This is not a container image; save it as an OCI archive.',
  });
}
