/**
 * Manifests and indexes (OCI image spec 1.1 manifest.md, image-index.md; Docker schema 2). Parsing takes untrusted bytes.
 * Invariant: the bytes a digest was computed over are never re-serialised; callers keep them beside the parsed form.
 */
import { TsbuildError } from '../core/index.ts';
import { type Descriptor, parseDescriptor, parseStringMap } from './descriptor.ts';
import { isImageConfigType, isIndexType, isManifestType, mediaTypes } from './media-types.ts';
import { formatPlatform, type Platform, platformMatch } from './platform.ts';

export interface ImageManifest {
  readonly kind: 'manifest';
  readonly mediaType: string;
  readonly config: Descriptor;
  /** Lowest layer first. */
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ImageIndex {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Larger manifests are refused, as registries do (distribution spec, "Pushing Manifests"). */
export const maxManifestBytes = 4 * 1024 * 1024;

/**
 * @param contentType what the carrier said it is; the document's own mediaType must agree when both are present
 * @throws TsbuildError `manifest-invalid`, `manifest-unsupported` (schema 1)
 */
export function parseManifest(bytes: Uint8Array, contentType?: string): ImageManifest | ImageIndex {
  const raw = parseJsonObject(bytes);
  const declared = contentType?.split(';')[0]?.trim();
  const own = typeof raw.mediaType === 'string' ? raw.mediaType : undefined;
  const known = (type: string | undefined) =>
    type !== undefined && (isManifestType(type) || isIndexType(type)) ? type : undefined;
  if (raw.schemaVersion === 1 || declared === mediaTypes.dockerSchema1 || declared === mediaTypes.dockerSchema1Signed) {
    throw new TsbuildError({
      code: 'manifest-unsupported',
      message: 'this is a Docker schema 1 manifest, a format no tool has written since 2017',
      hint: 'Pull the image with an old Docker and push it again, or use a newer tag.',
    });
  }
  const hasLayers = raw.layers !== undefined || raw.config !== undefined;
  if (raw.manifests !== undefined && hasLayers) {
    return invalid('the document is both an index and a manifest (CVE-2021-41190)');
  }
  if (own !== undefined && known(declared) !== undefined && own !== declared) {
    return invalid(`the document says it is ${own}, its carrier says ${declared}`);
  }
  const mediaType =
    known(own) ?? known(declared) ?? (raw.manifests !== undefined ? mediaTypes.ociIndex : mediaTypes.ociManifest);
  const common = {
    mediaType,
    ...(raw.subject !== undefined && raw.subject !== null && { subject: parseDescriptor(raw.subject, 'subject') }),
    ...(typeof raw.artifactType === 'string' && { artifactType: raw.artifactType }),
    ...(raw.annotations !== undefined &&
      raw.annotations !== null && { annotations: parseStringMap(raw.annotations, 'annotations') }),
  };
  if (isIndexType(mediaType)) {
    if (!Array.isArray(raw.manifests)) return invalid('an index without manifests');
    return {
      kind: 'index',
      ...common,
      manifests: raw.manifests.map((item, i) => parseDescriptor(item, `manifests[${i}]`)),
    };
  }
  if (!Array.isArray(raw.layers)) return invalid('a manifest without layers');
  return {
    kind: 'manifest',
    ...common,
    config: parseDescriptor(raw.config, 'config'),
    layers: raw.layers.map((item, i) => parseDescriptor(item, `layers[${i}]`)),
  };
}

/** The bytes of a new manifest or index: members in the order of the spec, no white space. */
export function serializeManifest(document: ImageManifest | ImageIndex): Buffer {
  const { mediaType, artifactType, subject, annotations } = document;
  const head = { schemaVersion: 2, mediaType, ...(artifactType !== undefined && { artifactType }) };
  const tail = {
    ...(subject && { subject }),
    ...(annotations && Object.keys(annotations).length > 0 && { annotations }),
  };
  const body =
    document.kind === 'index'
      ? { manifests: document.manifests }
      : { config: document.config, layers: document.layers };
  return Buffer.from(JSON.stringify({ ...head, ...body, ...tail }));
}

/**
 * The best manifest of an index for a platform. Attestations (`vnd.docker.reference.type`) and descriptors without a
 * platform are passed over unless nothing else is there.
 * @throws TsbuildError `platform-not-found`, naming what the index has
 */
export function selectPlatform(index: ImageIndex, wanted: Platform, name: string): Descriptor {
  const candidates = index.manifests.filter(isPlatformImage);
  let best: Descriptor | undefined;
  let bestScore = 0;
  for (const candidate of candidates) {
    const score = candidate.platform ? platformMatch(wanted, candidate.platform) : 0;
    if (score > bestScore) [best, bestScore] = [candidate, score];
  }
  const only =
    index.manifests.length === 1 && index.manifests[0]?.platform === undefined ? index.manifests[0] : undefined;
  const chosen = best ?? only;
  if (chosen) return chosen;
  const offered = candidates.flatMap((candidate) => (candidate.platform ? [formatPlatform(candidate.platform)] : []));
  throw new TsbuildError({
    code: 'platform-not-found',
    message: `${name} has no image for ${formatPlatform(wanted)}; it has ${offered.join(', ') || 'none with a platform'}`,
    hint:
      offered.length > 0 ? `Ask for one of them, e.g. --platform ${offered[0]}.` : 'Name the manifest by its digest.',
  });
}

/** @throws TsbuildError `manifest-unsupported` for an artifact: files in a registry that are no image (OCI image spec 1.1) */
export function requireImage({ artifactType, config }: ImageManifest, name: string): void {
  const isEmpty = config.mediaType === mediaTypes.ociEmpty;
  if (!isEmpty && (artifactType === undefined || isImageConfigType(config.mediaType))) return;
  throw new TsbuildError({
    code: 'manifest-unsupported',
    message: `${name} is no image but an artifact of the type ${JSON.stringify(artifactType ?? config.mediaType)}`,
    hint: 'tsbuild artifact pull NAME writes its files to a directory.',
  });
}

/** False for the attestation manifests that BuildKit puts beside the images of an index. */
export function isPlatformImage(descriptor: Descriptor): boolean {
  return descriptor.annotations?.['vnd.docker.reference.type'] === undefined && descriptor.platform?.os !== 'unknown';
}

function parseJsonObject(bytes: Uint8Array): Record<string, unknown> {
  if (bytes.byteLength > maxManifestBytes)
    return invalid(`the document has ${bytes.byteLength} bytes; ${maxManifestBytes} are allowed`);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    throw new TsbuildError({ code: 'manifest-invalid', message: 'the document is not JSON', cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return invalid('the document is not an object');
  return value as Record<string, unknown>;
}

function invalid(what: string): never {
  throw new TsbuildError({
    code: 'manifest-invalid',
    message: what,
    hint: 'Push the image again with a current tool.',
  });
}
