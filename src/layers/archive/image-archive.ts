/**
 * Images that lie in an archive, as a BlobSource: content is found by digest, and verified as it is read.
 */
import { isTsbuildError, TsbuildError } from '../../core/index.ts';
import {
  type BlobSource,
  createDigestHasher,
  type Descriptor,
  type Digest,
  digestAlgorithm,
  digestHex,
  familiarReference,
  isAttachmentTag,
  isDigest,
  isDocumentType,
  isReferrersTag,
  maxManifestBytes,
  oneChunk,
  parseManifest,
  parseReference,
  readManifest,
} from '../../image/index.ts';
import { blobMissing, sizeMismatch } from '../store/failures.ts';
import { annotatedName, imageName, refNameAnnotation } from '../store/image-list.ts';
import type { ArchiveFiles } from './archive-files.ts';

export interface ArchivedImage {
  /** Full references; none for an image without a name. */
  readonly names: readonly string[];
  readonly target: Descriptor;
}

export interface ImageArchive extends BlobSource, AsyncDisposable {
  /** In the archive's order, each target once. */
  readonly images: readonly ArchivedImage[];
  /** What is listed under a tag, as it stands there. */
  tagged(tag: string): readonly ArchivedImage[];
  /** Whether the content is in the archive; an index may name platforms that are not. */
  has(descriptor: Descriptor): Promise<boolean>;
}

/** Where a blob's bytes are. */
export type BlobPlace =
  | { readonly kind: 'file'; readonly path: string }
  /** Made up by us, e.g. a manifest for an archive that has none. */
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array };

export interface ArchiveEntry {
  readonly target: Descriptor;
  /** Full reference. */
  readonly name: string | undefined;
  /** `org.opencontainers.image.ref.name` as it stands; often a tag alone. */
  readonly refName: string | undefined;
}

export interface ArchiveContent {
  readonly name: string;
  readonly files: ArchiveFiles;
  readonly entries: readonly ArchiveEntry[];
  /** Of blobs that are not under `blobs/<algorithm>/<hex>`. */
  readonly places: ReadonlyMap<Digest, BlobPlace>;
}

export function imageArchive(content: ArchiveContent): ImageArchive {
  const { name, files, entries, places } = content;
  const placeOf = (digest: Digest): BlobPlace => places.get(digest) ?? { kind: 'file', path: blobMember(digest) };
  const sizeOf = async (digest: Digest): Promise<number | undefined> => {
    const place = placeOf(digest);
    return place.kind === 'bytes' ? place.bytes.byteLength : files.size(place.path);
  };
  const archive: ImageArchive = {
    name,
    images: grouped(entries),
    tagged: (tag) => grouped(entries.filter(({ refName }) => refName === tag)),
    has: async ({ digest }) => (await sizeOf(digest)) !== undefined,
    open: async (descriptor, signal) => {
      const { digest } = descriptor;
      const size = await sizeOf(digest);
      if (size === undefined) throw blobMissing(digest, name);
      if (size !== descriptor.size) throw sizeMismatch(digest, descriptor.size, size);
      const place = placeOf(digest);
      const bytes = place.kind === 'bytes' ? oneChunk(place.bytes) : files.read(place.path, { signal });
      return verified(bytes, digest, name);
    },
    resolve: async (reference, signal) =>
      choose(reference === '' ? await independent(archive, entries, signal) : entries, reference, name) ??
      (await unlisted(archive, reference, sizeOf, signal)) ??
      notFound(),
    [Symbol.asyncDispose]: () => files[Symbol.asyncDispose](),
  };
  return archive;

  function notFound(): never {
    throw new TsbuildError({
      code: 'image-not-found',
      message: `${name} has no such image`,
      hint: `It has: ${namesOf(entries).join(', ') || 'no image'}.`,
    });
  }
}

/** The file of a blob in an OCI image layout. */
export function blobMember(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

/** An entry of an `index.json`. In a folder or file that holds one image, a bare ref.name is a tag and names nothing. */
export function entryOf(descriptor: Descriptor): ArchiveEntry {
  const { annotations, ...target } = descriptor;
  const { [refNameAnnotation]: refName, ...others } = annotations ?? {};
  const isWhole = refName !== undefined && /[/:@]/.test(refName);
  return { target, name: annotatedName(isWhole ? annotations : others), refName };
}

/**
 * What people write after `oci-layout:DIR`: a tag, a name, a digest, or nothing when there is only one image.
 * @throws TsbuildError `image-ambiguous`
 */
function choose(entries: readonly ArchiveEntry[], reference: string, place: string): Descriptor | undefined {
  const wanted = reference.replace(/^@(?=sha(256|512):)/, '');
  const matches =
    wanted === ''
      ? entries
      : firstMatches([
          entries.filter((entry) => entry.target.digest === wanted || wanted.endsWith(`@${entry.target.digest}`)),
          entries.filter((entry) => entry.refName === wanted),
          entries.filter((entry) => entry.name !== undefined && entry.name === fullName(wanted)),
          entries.filter((entry) => entry.name?.endsWith(`:${wanted}`)),
        ]);
  const digests = new Set(matches.map((entry) => entry.target.digest));
  if (digests.size <= 1) return matches[0]?.target;
  throw new TsbuildError({
    code: 'image-ambiguous',
    message: `${place} has ${digests.size} images${wanted === '' ? '' : ` that ${wanted} may mean`}`,
    hint: `Name one of them: ${namesOf(matches).join(', ')}.`,
  });
}

/** Without what refers to another one: a signature beside an image does not make it unclear which image is meant. */
async function independent(
  archive: ImageArchive,
  entries: readonly ArchiveEntry[],
  signal: AbortSignal,
): Promise<readonly ArchiveEntry[]> {
  if (archive.images.length < 2) return entries;
  const dependent = new Set<Digest>();
  for (const { target } of archive.images) {
    if (!isDocumentType(target.mediaType) || !(await archive.has(target))) continue;
    if (parseManifest(await readManifest(archive, target, signal), target.mediaType).subject)
      dependent.add(target.digest);
  }
  const isBeside = (tag: string) => isReferrersTag(tag) || isAttachmentTag(tag);
  const rest = entries.filter(({ target, refName }) => !dependent.has(target.digest) && !isBeside(refName ?? ''));
  return rest.length > 0 ? rest : entries;
}

function firstMatches(attempts: readonly (readonly ArchiveEntry[])[]): readonly ArchiveEntry[] {
  return attempts.find((found) => found.length > 0) ?? [];
}

/** A manifest that no list names, by its digest. */
async function unlisted(
  archive: ImageArchive,
  reference: string,
  sizeOf: (digest: Digest) => Promise<number | undefined>,
  signal: AbortSignal,
): Promise<Descriptor | undefined> {
  const digest = reference.slice(reference.lastIndexOf('@') + 1);
  if (!isDigest(digest)) return undefined;
  const size = await sizeOf(digest);
  if (size === undefined || size > maxManifestBytes) return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of await archive.open({ mediaType: '', digest, size }, signal)) chunks.push(chunk);
  return { mediaType: parseManifest(Buffer.concat(chunks)).mediaType, digest, size };
}

function fullName(text: string): string | undefined {
  try {
    return imageName(parseReference(text));
  } catch (error) {
    if (isTsbuildError(error) && error.code === 'reference-invalid') return undefined;
    throw error;
  }
}

function namesOf(entries: readonly ArchiveEntry[]): string[] {
  return entries.map(
    ({ name, refName, target }) => (name && familiarReference(parseReference(name))) ?? refName ?? target.digest,
  );
}

function grouped(entries: readonly ArchiveEntry[]): ArchivedImage[] {
  const images = new Map<Digest, { target: Descriptor; names: string[] }>();
  for (const { target, name } of entries) {
    const image = images.get(target.digest) ?? { target, names: [] };
    if (name !== undefined && !image.names.includes(name)) image.names.push(name);
    images.set(target.digest, image);
  }
  return [...images.values()];
}

async function* verified(chunks: AsyncIterable<Uint8Array>, digest: Digest, place: string): AsyncGenerator<Uint8Array> {
  const hasher = createDigestHasher(digestAlgorithm(digest));
  for await (const chunk of chunks) {
    hasher.update(chunk);
    yield chunk;
  }
  if (hasher.digest() !== digest) throw damagedIn(place, digest);
}

function damagedIn(place: string, digest: Digest): TsbuildError {
  return new TsbuildError({
    code: 'image-archive-invalid',
    message: `${place} holds a damaged copy of ${digest}`,
    hint: 'Make or fetch the archive again.',
  });
}
