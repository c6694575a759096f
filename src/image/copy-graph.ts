/**
 * Copies an image, an index or any manifest with everything below it from a source to a sink, children first, so that a
 * sink never holds a manifest whose parts are missing. What the sink has is not read.
 */
import { allOrNothing, Limiter, TsbuildError } from '../core/index.ts';
import { type BlobSink, type BlobSource, readBlob } from './blob-ports.ts';
import type { Descriptor } from './descriptor.ts';
import { createDigestHasher, type Digest, digestAlgorithm } from './digest.ts';
import { type ImageIndex, type ImageManifest, maxManifestBytes, parseManifest } from './manifest.ts';
import { isDocumentType } from './media-types.ts';

export interface CopyOptions {
  readonly signal: AbortSignal;
  /** Blobs in flight at once. Default 4. */
  readonly concurrency?: number;
  /** Which manifests of an index to take; the index itself keeps its bytes. Default: all. */
  readonly select?: (descriptor: Descriptor) => boolean;
  /** Repositories that hold these blobs already (see PutOptions.knownIn). */
  readonly knownIn?: (descriptor: Descriptor) => readonly string[];
  /** Manifests to copy as well because they refer to one that was copied: its signatures, SBOMs, attestations. */
  readonly referrers?: (descriptor: Descriptor, signal: AbortSignal) => Promise<readonly Descriptor[]>;
  readonly onBlob?: (progress: BlobProgress) => void;
  /** The sink computes digests itself (the local store does), so that the source need not. */
  readonly sinkVerifies?: boolean;
}

export interface BlobProgress {
  readonly descriptor: Descriptor;
  /** `started`: the sink needs it; its turn may come later. */
  readonly state: 'started' | 'progress' | 'written' | 'mounted' | 'exists';
  /** Bytes handed over so far. */
  readonly done: number;
}

const maxDepth = 8;
/** Manifests that refer to what was copied, and to them; a hostile registry may make up ever more. */
const maxReferrers = 10_000;
/** Manifests of one index are many and small. */
const manifestsAtOnce = 8;

/**
 * Copies the graph under `root`. One blob that several manifests share is copied once.
 * @throws TsbuildError of the side that failed; `manifest-invalid` for graphs nested deeper than 8, or with more than 10,000 referrers
 */
export async function copyGraph(
  source: BlobSource,
  sink: BlobSink,
  root: Descriptor,
  options: CopyOptions,
): Promise<void> {
  const blobs = new Limiter(options.concurrency ?? 4);
  const manifests = new Limiter(manifestsAtOnce);
  const underway = new Map<Digest, Promise<void>>();
  const subjects: Descriptor[] = [];

  const once = (descriptor: Descriptor, work: () => Promise<void>): Promise<void> => {
    const running = underway.get(descriptor.digest) ?? work();
    underway.set(descriptor.digest, running);
    return running;
  };

  const copyBlob = (descriptor: Descriptor, signal: AbortSignal): Promise<void> =>
    once(descriptor, async () => {
      const report = (state: BlobProgress['state'], done: number) => options.onBlob?.({ descriptor, state, done });
      if (await sink.has(descriptor, signal)) return report('exists', descriptor.size);
      // Told before its turn comes: so the whole of what is to be copied is known early.
      report('started', 0);
      const unverified = options.sinkVerifies ? source.openUnverified?.bind(source) : undefined;
      const open = (from?: number) => unverified?.(descriptor, signal, from) ?? source.open(descriptor, signal);
      const put = () =>
        sink.put(descriptor, open, {
          signal,
          resumable: unverified !== undefined,
          knownIn: options.knownIn?.(descriptor) ?? [],
          onProgress: (bytes) => report('progress', bytes),
        });
      report(await blobs.run(signal, put), descriptor.size);
    });

  const copyBelow = async (descriptor: Descriptor, depth: number, signal: AbortSignal): Promise<void> => {
    if (sink.complete && (await manifests.run(signal, () => sink.has(descriptor, signal)))) return;
    const bytes = await manifests.run(signal, () => readManifest(source, descriptor, signal));
    const children = childrenOf(parseManifest(bytes, descriptor.mediaType), options.select);
    await allOrNothing(
      signal,
      children.map((child) => (inner) => copyAny(child, depth + 1, inner)),
    );
    await manifests.run(signal, () => sink.put(descriptor, async () => chunksOf(bytes), { signal }));
  };

  const copyManifest = (descriptor: Descriptor, depth: number, signal: AbortSignal): Promise<void> =>
    once(descriptor, async () => {
      if (depth > maxDepth) {
        throw new TsbuildError({
          code: 'manifest-invalid',
          message: `${source.name}: indexes are nested deeper than ${maxDepth}`,
          hint: 'No honest image is nested so deep: do not use it.',
        });
      }
      await copyBelow(descriptor, depth, signal);
      subjects.push(descriptor);
    });

  const copyAny = (descriptor: Descriptor, depth: number, signal: AbortSignal): Promise<void> =>
    isDocumentType(descriptor.mediaType) ? copyManifest(descriptor, depth, signal) : copyBlob(descriptor, signal);

  await copyAny(root, 0, options.signal);
  const { referrers } = options;
  const found = new Set<Digest>();
  // Round by round, after what they refer to: a list that names an ancestor of its subject must not wait for itself.
  for (let round = 0; referrers !== undefined && subjects.length > 0; round += 1) {
    const next = subjects.splice(0);
    await allOrNothing(
      options.signal,
      next.map((subject) => async (signal) => {
        const listed = await manifests.run(signal, () => referrers(subject, signal));
        for (const { digest } of listed) found.add(digest);
        if (found.size > maxReferrers || (round >= maxDepth && listed.some(({ digest }) => !underway.has(digest)))) {
          throw tooManyReferrers(source.name);
        }
        await allOrNothing(
          signal,
          listed.map((referrer) => (inner) => copyAny(referrer, 0, inner)),
        );
      }),
    );
  }
}

function tooManyReferrers(place: string): TsbuildError {
  return new TsbuildError({
    code: 'manifest-invalid',
    message: `${place}: what refers to the image is nested deeper than ${maxDepth}, or more than ${maxReferrers} manifests`,
    hint: 'Copy the image without --referrers.',
  });
}

/** What a manifest or index refers to and a copy must carry. Foreign layers (`urls`) stay where they are. */
export function childrenOf(
  document: ImageManifest | ImageIndex,
  select: (d: Descriptor) => boolean = () => true,
): Descriptor[] {
  if (document.kind === 'index') return document.manifests.filter(select);
  return [document.config, ...document.layers.filter((layer) => (layer.urls ?? []).length === 0)];
}

/** The bytes of a manifest, bounded and checked against its descriptor. */
export async function readManifest(source: BlobSource, descriptor: Descriptor, signal: AbortSignal): Promise<Buffer> {
  if (descriptor.size > maxManifestBytes) {
    throw new TsbuildError({
      code: 'manifest-invalid',
      message: `${source.name}: the manifest ${descriptor.digest} has ${descriptor.size} bytes; ${maxManifestBytes} are allowed`,
      hint: 'Put fewer entries into one index.',
    });
  }
  const bytes = await readBlob(source, descriptor, signal);
  const hasher = createDigestHasher(digestAlgorithm(descriptor.digest));
  hasher.update(bytes);
  if (hasher.digest() !== descriptor.digest) {
    throw new TsbuildError({
      code: 'manifest-invalid',
      message: `${source.name}: the manifest does not have the digest ${descriptor.digest}`,
      hint: 'Run the command again; if it fails again, the source is damaged.',
    });
  }
  return bytes;
}

async function* chunksOf(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
