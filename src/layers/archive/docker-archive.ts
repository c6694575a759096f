/**
 * Reads what `docker save` writes, of any age: `manifest.json` names configurations and layers. From Docker 25 on the
 * archive is an OCI layout as well; then the OCI part says what the images are and `manifest.json` only adds names.
 * Invariant: an image without an OCI manifest gets one made of its parts, the same each time, so that it can be copied
 * like any other. A plain layer's digest is the diff ID its configuration promises; it is checked when it is read.
 */
import { isTsbuildError } from '../../core/index.ts';
import {
  type Compression,
  createDigestHasher,
  type Descriptor,
  type Digest,
  describe,
  layerMediaType,
  mediaTypes,
  parseImageConfig,
  parseManifest,
  parseReference,
  serializeManifest,
} from '../../image/index.ts';
import { imageName } from '../store/image-list.ts';
import { archiveInvalid } from './archive-errors.ts';
import type { ArchiveFiles } from './archive-files.ts';
import { type ArchiveEntry, type BlobPlace, blobMember } from './image-archive.ts';
import { readJson, readSmall } from './open-oci-layout.ts';

const maxListBytes = 16 * 1024 * 1024;
const maxConfigBytes = 8 * 1024 * 1024;

/** One element of `manifest.json`. */
interface SavedImage {
  readonly config: string;
  readonly names: readonly string[];
  readonly layers: readonly string[];
}

export interface DockerArchiveContent {
  readonly entries: readonly ArchiveEntry[];
  readonly places: ReadonlyMap<Digest, BlobPlace>;
}

/**
 * The images of `manifest.json`; undefined when there is none.
 * @param listed the entries of `index.json`, when the archive is an OCI layout too
 * @throws TsbuildError `image-archive-invalid`, `config-invalid`
 */
export async function readDockerArchive(
  files: ArchiveFiles,
  listed: readonly ArchiveEntry[],
  signal: AbortSignal,
): Promise<DockerArchiveContent | undefined> {
  const saved = await readSavedImages(files, signal);
  if (saved === undefined) return undefined;
  const places = new Map<Digest, BlobPlace>();
  const entries: ArchiveEntry[] = [...listed];
  const byConfig = await targetsByConfig(files, listed, signal);
  for (const image of saved) {
    const known = byConfig.get(image.config);
    const target = known ?? (await synthesise(files, image, places, signal));
    const names = image.names.length > 0 ? image.names : [undefined];
    for (const name of names) {
      const isThere = entries.some(
        (entry) => entry.target.digest === target.digest && (name ?? entry.name) === entry.name,
      );
      if (!isThere) entries.push({ target, name, refName: undefined });
    }
  }
  // A nameless entry says nothing that a named one of the same image does not.
  const named = new Set(entries.flatMap((entry) => (entry.name === undefined ? [] : [entry.target.digest])));
  return { entries: entries.filter((entry) => entry.name !== undefined || !named.has(entry.target.digest)), places };
}

async function readSavedImages(files: ArchiveFiles, signal: AbortSignal): Promise<SavedImage[] | undefined> {
  const list = await readJson(files, 'manifest.json', maxListBytes, signal);
  if (list === undefined) return undefined;
  if (!Array.isArray(list)) throw archiveInvalid(files.place, 'manifest.json is not a list');
  return list.map((item: unknown, i) => {
    const { Config, RepoTags, Layers } = (item ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof Config !== 'string' || !isStrings(Layers ?? []) || !isStrings(RepoTags ?? [])) {
      throw archiveInvalid(files.place, `manifest.json[${i}] does not name a configuration and layers`);
    }
    const names = (RepoTags ?? []) as readonly string[];
    return { config: Config, names: names.flatMap(fullNames), layers: (Layers ?? []) as readonly string[] };
  });
}

/** The manifests of the OCI part by the path of their configuration, as `manifest.json` has it. */
async function targetsByConfig(
  files: ArchiveFiles,
  listed: readonly ArchiveEntry[],
  signal: AbortSignal,
): Promise<Map<string, Descriptor>> {
  const targets = new Map<string, Descriptor>();
  for (const { target } of listed) {
    const bytes = await readSmall(files, blobMember(target.digest), maxListBytes, signal);
    if (bytes === undefined) continue;
    const document = parseManifest(bytes, target.mediaType);
    if (document.kind === 'manifest') {
      targets.set(blobMember(document.config.digest), target);
      continue;
    }
    // The list has the index; manifest.json names the one platform's image that was saved from it.
    for (const inner of document.manifests) {
      const innerBytes = await readSmall(files, blobMember(inner.digest), maxListBytes, signal);
      const manifest = innerBytes && parseManifest(innerBytes, inner.mediaType);
      if (manifest?.kind === 'manifest') targets.set(blobMember(manifest.config.digest), target);
    }
  }
  return targets;
}

async function synthesise(
  files: ArchiveFiles,
  image: SavedImage,
  places: Map<Digest, BlobPlace>,
  signal: AbortSignal,
): Promise<Descriptor> {
  const configBytes = await readSmall(files, image.config, maxConfigBytes, signal);
  if (configBytes === undefined) throw archiveInvalid(files.place, `it has no file ${image.config}`);
  const diffIds = parseImageConfig(configBytes).rootfs.diff_ids;
  if (diffIds.length !== image.layers.length) {
    throw archiveInvalid(
      files.place,
      `${image.config} lists ${diffIds.length} layers, manifest.json ${image.layers.length}`,
    );
  }
  const config = describe(mediaTypes.ociConfig, configBytes);
  places.set(config.digest, { kind: 'bytes', bytes: configBytes });
  const layers: Descriptor[] = [];
  for (const [i, path] of image.layers.entries()) {
    const diffId = diffIds[i];
    if (diffId === undefined) continue;
    const layer = await describeLayer(files, path, diffId, signal);
    places.set(layer.digest, { kind: 'file', path });
    layers.push(layer);
  }
  const bytes = serializeManifest({ kind: 'manifest', mediaType: mediaTypes.ociManifest, config, layers });
  const manifest = describe(mediaTypes.ociManifest, bytes);
  places.set(manifest.digest, { kind: 'bytes', bytes });
  return manifest;
}

/** Other tools than docker put compressed layers into such archives; only reading one whole gives its digest. */
async function describeLayer(
  files: ArchiveFiles,
  path: string,
  diffId: Digest,
  signal: AbortSignal,
): Promise<Descriptor> {
  const size = await files.size(path);
  if (size === undefined) throw archiveInvalid(files.place, `it has no file ${path}`);
  const compression = await compressionOf(files, path, signal);
  const mediaType = layerMediaType(compression);
  if (compression === 'uncompressed') return { mediaType, digest: diffId, size };
  const hasher = createDigestHasher();
  for await (const chunk of files.read(path, { signal })) hasher.update(chunk);
  return { mediaType, digest: hasher.digest(), size };
}

async function compressionOf(files: ArchiveFiles, path: string, signal: AbortSignal): Promise<Compression> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of files.read(path, { signal, length: 4 })) chunks.push(chunk);
  const magic = Buffer.concat(chunks).toString('hex');
  if (magic.startsWith('1f8b')) return 'gzip';
  return magic === '28b52ffd' ? 'zstd' : 'uncompressed';
}

/** A name Docker would not accept cannot be given to an image; the image is had by its ID. */
function fullNames(text: string): string[] {
  try {
    return [imageName(parseReference(text))];
  } catch (error) {
    if (isTsbuildError(error) && error.code === 'reference-invalid') return [];
    throw error;
  }
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
