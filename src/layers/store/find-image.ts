/**
 * Finds an image by what people call it, in Docker's order: name, digest, image ID or a unique beginning of one.
 * An image ID is the digest of an image's configuration.
 */
import { statSync } from 'node:fs';
import { isTsbuildError, TsbuildError } from '../../core/index.ts';
import {
  type Descriptor,
  type Digest,
  digestHex,
  type ImageIndex,
  type ImageManifest,
  isDigest,
  isPlatformImage,
  maxManifestBytes,
  parseManifest,
  parseReference,
} from '../../image/index.ts';
import type { StoredImage } from '../types.ts';
import { readIfThere } from './if-there.ts';
import { imageName } from './image-list.ts';

/** @throws TsbuildError `image-ambiguous` when an ID's beginning fits several images */
export function findImage(
  images: readonly StoredImage[],
  wanted: string,
  blobPath: (digest: Digest) => string,
): StoredImage | undefined {
  const name = nameOf(wanted);
  const named = name === undefined ? undefined : images.find((image) => image.name === name);
  if (named) return named;
  const at = wanted.lastIndexOf('@');
  const digest = wanted.slice(at + 1);
  if (isDigest(digest)) return byDigest(images, digest, blobPath);
  const prefix = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(wanted)?.[1];
  return prefix === undefined ? undefined : byIdPrefix(images, prefix, blobPath);
}

function nameOf(text: string): string | undefined {
  try {
    return imageName(parseReference(text));
  } catch (error) {
    if (isTsbuildError(error) && error.code === 'reference-invalid') return undefined;
    throw error;
  }
}

function byDigest(
  images: readonly StoredImage[],
  digest: Digest,
  blobPath: (digest: Digest) => string,
): StoredImage | undefined {
  const listed = images.find((image) => image.target.digest === digest);
  if (listed) return listed;
  for (const candidate of candidatesOf(images, blobPath)) {
    if (candidate.id === digest || candidate.image.target.digest === digest) return candidate.image;
  }
  return unlisted(digest, blobPath(digest));
}

/** A manifest that is in the store and in no list, e.g. after its name was given to another image. */
function unlisted(digest: Digest, path: string): StoredImage | undefined {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined || status.size > maxManifestBytes) return undefined;
  const document = readDocument(path, undefined);
  if (document === undefined) return undefined;
  return {
    name: undefined,
    target: { mediaType: document.mediaType, digest, size: status.size },
    tagged: Math.floor(status.mtimeMs),
  };
}

function byIdPrefix(
  images: readonly StoredImage[],
  prefix: string,
  blobPath: (digest: Digest) => string,
): StoredImage | undefined {
  const found = new Map<Digest, StoredImage>();
  for (const { image, id } of candidatesOf(images, blobPath)) {
    const fits = digestHex(image.target.digest).startsWith(prefix) || (id && digestHex(id).startsWith(prefix));
    if (fits && !found.has(id ?? image.target.digest)) found.set(id ?? image.target.digest, image);
  }
  if (found.size <= 1) return found.values().next().value;
  throw new TsbuildError({
    code: 'image-ambiguous',
    message: `${prefix} is the beginning of ${found.size} image IDs`,
    hint: `Write more digits, e.g. ${[...found.keys()].map((id) => digestHex(id).slice(0, prefix.length + 8)).join(' or ')}.`,
  });
}

interface Candidate {
  readonly image: StoredImage;
  /** Undefined for an index, and where the manifest is not in the store. */
  readonly id: Digest | undefined;
}

/** Every listed image, and every platform's image inside a listed index. */
function* candidatesOf(images: readonly StoredImage[], blobPath: (digest: Digest) => string): Iterable<Candidate> {
  const read = new Map<Digest, ImageManifest | ImageIndex | undefined>();
  for (const image of images) {
    const { digest } = image.target;
    if (!read.has(digest)) read.set(digest, documentOf(image.target, blobPath));
    const document = read.get(digest);
    if (document?.kind !== 'index') {
      yield { image, id: document?.config.digest };
      continue;
    }
    yield { image, id: undefined };
    for (const target of document.manifests.filter(isPlatformImage)) {
      const inner = documentOf(target, blobPath);
      if (inner?.kind === 'manifest') yield { image: { ...image, target }, id: inner.config.digest };
    }
  }
}

function documentOf(target: Descriptor, blobPath: (digest: Digest) => string): ImageManifest | ImageIndex | undefined {
  return target.size > maxManifestBytes ? undefined : readDocument(blobPath(target.digest), target.mediaType);
}

/** Undefined when it is not there or is no manifest; whoever uses the image meets the reason then. */
function readDocument(path: string, mediaType: string | undefined): ImageManifest | ImageIndex | undefined {
  const bytes = readIfThere(path);
  if (bytes === undefined) return undefined;
  // Blobs that are no JSON object are layers; looking at one byte keeps them out of the parser.
  if (bytes[0] !== 0x7b) return undefined;
  try {
    const document = parseManifest(bytes, mediaType);
    if (mediaType === undefined && document.kind === 'manifest' && document.config === undefined) return undefined;
    return document;
  } catch (error) {
    if (isTsbuildError(error)) return undefined;
    throw error;
  }
}
