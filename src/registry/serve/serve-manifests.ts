/** Manifests, tags and referrers of the server. */
import { isTsbuildError, type Limiter } from '../../core/index.ts';
import {
  childrenOf,
  createDigestHasher,
  type Descriptor,
  type Digest,
  digestAlgorithm,
  type ImageIndex,
  type ImageManifest,
  isDigest,
  isIndexType,
  isManifestType,
  isReferrersTag,
  maxManifestBytes,
  mediaTypes,
  oneChunk,
  parseManifest,
  referrerEntry,
} from '../../image/index.ts';
import { Refusal, sendEmpty, sendJson } from './answer.ts';
import { addReferrer, bytesOf, forgetReferrer, recordsOf, referrersOf } from './kept-referrers.ts';
import type { Exchange } from './serve-blobs.ts';
import type { ServedStorage } from './storage.ts';

const maxDepth = 4;

export async function readManifest(
  storage: ServedStorage,
  repository: string,
  reference: string,
  { request, response, signal }: Exchange,
): Promise<void> {
  const target = await findManifest(storage, repository, reference, signal);
  if (!target) throw new Refusal(404, 'MANIFEST_UNKNOWN', 'no such manifest');
  const bytes = await bytesOf(storage, target, signal);
  response.writeHead(200, {
    'content-type': target.mediaType,
    'content-length': bytes.byteLength,
    'docker-content-digest': target.digest,
  });
  response.end(request.method === 'HEAD' ? undefined : bytes);
}

export async function writeManifest(
  storage: ServedStorage,
  repository: string,
  reference: string,
  changes: Limiter,
  { request, response, signal }: Exchange,
): Promise<void> {
  // Read before the turn to change anything comes: a slow client holds nobody up.
  const bytes = await readBounded(request);
  const { target, document } = parsed(
    bytes,
    request.headers['content-type'],
    isDigest(reference) ? reference : undefined,
  );
  const { subject } = document;
  await changes.run(signal, async () => {
    for (const child of childrenOf(document)) {
      if ((await storage.sizeOf(child.digest)) === child.size) continue;
      throw new Refusal(404, 'MANIFEST_BLOB_UNKNOWN', `${child.digest} is not here; push it first`);
    }
    await storage.content.put(target, async () => oneChunk(bytes), { signal });
    await storage.record({ repository, tag: isDigest(reference) ? undefined : reference, target });
    if (subject) await addReferrer(storage, repository, subject, referrerEntry(target, document), signal);
  });
  sendEmpty(response, 201, {
    location: `/v2/${repository}/manifests/${target.digest}`,
    'docker-content-digest': target.digest,
    ...(subject && { 'oci-subject': subject.digest }),
  });
}

export async function deleteManifest(
  storage: ServedStorage,
  repository: string,
  reference: string,
  changes: Limiter,
  { response, signal }: Exchange,
): Promise<void> {
  await changes.run(signal, async () => {
    const own = await recordsOf(storage, repository);
    const target = own.find((record) => record.tag === reference || record.target.digest === reference)?.target;
    if (!target) throw new Refusal(404, 'MANIFEST_UNKNOWN', 'no such manifest');
    await storage.forget(repository, isDigest(reference) ? { digest: reference } : { tag: reference });
    await forgetReferrer(storage, repository, target.digest, signal);
  });
  sendEmpty(response, 202);
}

/** In lexical order, in pages where asked (distribution spec, "Listing Tags"). */
export async function listTags(
  storage: ServedStorage,
  repository: string,
  { response, query }: Exchange,
): Promise<void> {
  const own = await recordsOf(storage, repository);
  if (own.length === 0) throw new Refusal(404, 'NAME_UNKNOWN', 'no such repository');
  // The lists of referrers are had by their own request; that they are kept under tags is nobody's concern.
  const tags = own.flatMap(({ tag }) => (tag === undefined || isReferrersTag(tag) ? [] : [tag])).sort();
  const { items, next } = page(tags, query);
  sendJson(response, 200, { name: repository, tags: items }, link(`/v2/${repository}/tags/list`, next));
}

export async function listRepositories(storage: ServedStorage, { response, query }: Exchange): Promise<void> {
  const names = [...new Set((await storage.records()).map(({ repository }) => repository))].sort();
  const { items, next } = page(names, query);
  sendJson(response, 200, { repositories: items }, link('/v2/_catalog', next));
}

export async function listReferrers(
  storage: ServedStorage,
  repository: string,
  digest: Digest,
  { response, query, signal }: Exchange,
): Promise<void> {
  const wanted = query.get('artifactType');
  const all = await referrersOf(storage, repository, digest, signal);
  const manifests = wanted === null ? all : all.filter(({ artifactType }) => artifactType === wanted);
  const document = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
  const headers = {
    'content-type': mediaTypes.ociIndex,
    ...(wanted !== null && { 'oci-filters-applied': 'artifactType' }),
  };
  sendJson(response, 200, document, headers);
}

/** By tag, by digest of what a record names, or by digest of something below an index of this repository. */
async function findManifest(
  storage: ServedStorage,
  repository: string,
  reference: string,
  signal: AbortSignal,
): Promise<Descriptor | undefined> {
  const own = await recordsOf(storage, repository);
  const named = own.find(({ tag, target }) => tag === reference || target.digest === reference)?.target;
  if (named || !isDigest(reference)) return named;
  let level = own.flatMap(({ tag, target }) => (tag !== undefined && isReferrersTag(tag) ? [] : [target]));
  for (let depth = 0; depth < maxDepth && level.length > 0; depth += 1) {
    const below = new Map<Digest, Descriptor>();
    for (const index of level.filter(({ mediaType }) => isIndexType(mediaType))) {
      const document = parseManifest(await bytesOf(storage, index, signal), index.mediaType);
      for (const child of childrenOf(document)) below.set(child.digest, child);
    }
    const found = below.get(reference);
    if (found && (await storage.sizeOf(found.digest)) !== undefined) return found;
    level = [...below.values()];
  }
  return undefined;
}

async function readBounded(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of bytes) {
    length += chunk.byteLength;
    if (length > maxManifestBytes)
      throw new Refusal(413, 'SIZE_INVALID', `a manifest may have ${maxManifestBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parsed(
  bytes: Buffer,
  contentType: string | undefined,
  wanted: Digest | undefined,
): { readonly target: Descriptor; readonly document: ImageManifest | ImageIndex } {
  const declared = contentType?.split(';')[0]?.trim();
  if (declared !== undefined && !isManifestType(declared) && !isIndexType(declared)) {
    throw new Refusal(400, 'MANIFEST_INVALID', 'this media type is not a manifest or index');
  }
  const hasher = createDigestHasher(wanted === undefined ? 'sha256' : digestAlgorithm(wanted));
  hasher.update(bytes);
  const digest = hasher.digest();
  if (wanted !== undefined && digest !== wanted)
    throw new Refusal(400, 'DIGEST_INVALID', 'the manifest has another digest');
  try {
    const document = parseManifest(bytes, declared);
    return { target: { mediaType: document.mediaType, digest, size: bytes.byteLength }, document };
  } catch (error) {
    if (isTsbuildError(error)) throw new Refusal(400, 'MANIFEST_INVALID', error.message);
    throw error;
  }
}

function page(
  sorted: readonly string[],
  query: URLSearchParams,
): { items: readonly string[]; next: string | undefined } {
  const last = query.get('last');
  const rest = last === null ? sorted : sorted.filter((item) => item > last);
  const asked = query.get('n');
  if (asked === null || !/^\d{1,9}$/.test(asked)) return { items: rest, next: undefined };
  const items = rest.slice(0, Number(asked));
  const more = items.length < rest.length && items.length > 0;
  return { items, next: more ? new URLSearchParams({ n: asked, last: items.at(-1) ?? '' }).toString() : undefined };
}

function link(path: string, next: string | undefined): Record<string, string> {
  return next === undefined ? {} : { link: `<${path}?${next}>; rel="next"` };
}
