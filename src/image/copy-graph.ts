/**
 * Copies an image, an index or any manifest with everything below it from a source to a sink, children first, so that a
 * sink never holds a manifest whose parts are missing. What the sink has is not read.
 */
import { allOrNothing, Limiter, TsbuildError } from '../core/index.ts';
import { type BlobSink, type BlobSource, readBlob } from './blob-ports.ts';
import type { Descriptor } from './descriptor.ts';
import { type Digest, digestOf } from './digest.ts';
import { type ImageIndex, type ImageManifest, maxManifestBytes, parseManifest } from './manifest.ts';
import { isIndexType, isManifestType } from './media-types.ts';

export interface CopyOptions {
  readonly signal: AbortSignal;
  /** Blobs in flight at once. Default 4. */
  readonly concurrency?: number;
  /** Which manifests of an index to take; the index itself keeps its bytes. Default: all. */
  readonly select?: (descriptor: Descriptor) => boolean;
  /** Repositories that hold these blobs already (see PutOptions.knownIn). */
  readonly knownIn?: (descriptor: Descriptor) => readonly string[];
  readonly onBlob?: (progress: BlobProgress) => void;
}

export interface BlobProgress {
  readonly descriptor: Descriptor;
  readonly state: 'started' | 'progress' | 'written' | 'mounted' | 'exists';
  /** Bytes handed over so far. */
  readonly done: number;
}

const maxDepth = 8;

/**
 * Copies the graph under `root`. One blob that several manifests share is copied once.
 * @throws TsbuildError of the side that failed; `manifest-invalid` for graphs nested deeper than 8
 */
export async function copyGraph(
  source: BlobSource,
  sink: BlobSink,
  root: Descriptor,
  options: CopyOptions,
): Promise<void> {
  const limiter = new Limiter(options.concurrency ?? 4);
  const underway = new Map<Digest, Promise<void>>();

  const once = (descriptor: Descriptor, work: () => Promise<void>): Promise<void> => {
    const running = underway.get(descriptor.digest) ?? work();
    underway.set(descriptor.digest, running);
    return running;
  };

  const copyBlob = (descriptor: Descriptor, signal: AbortSignal): Promise<void> =>
    once(descriptor, () =>
      limiter.run(signal, async () => {
        const report = (state: BlobProgress['state'], done: number) => options.onBlob?.({ descriptor, state, done });
        if (await sink.has(descriptor, signal)) return report('exists', descriptor.size);
        report('started', 0);
        const outcome = await sink.put(descriptor, () => source.open(descriptor, signal), {
          signal,
          knownIn: options.knownIn?.(descriptor) ?? [],
          onProgress: (bytes) => report('progress', bytes),
        });
        report(outcome, descriptor.size);
      }),
    );

  const copyManifest = (descriptor: Descriptor, depth: number, signal: AbortSignal): Promise<void> =>
    once(descriptor, async () => {
      if (depth > maxDepth) {
        throw new TsbuildError({
          code: 'manifest-invalid',
          message: `${source.name}: indexes are nested deeper than ${maxDepth}`,
        });
      }
      if (depth > 0 && (await sink.has(descriptor, signal))) return;
      const bytes = await readManifest(source, descriptor, signal);
      const document = parseManifest(bytes, descriptor.mediaType);
      const children = childrenOf(document, options.select);
      await allOrNothing(
        signal,
        children.map(
          (child) => (inner) => (isDocument(child) ? copyManifest(child, depth + 1, inner) : copyBlob(child, inner)),
        ),
      );
      await sink.put(descriptor, async () => chunksOf(bytes), { signal });
    });

  await (isDocument(root) ? copyManifest(root, 0, options.signal) : copyBlob(root, options.signal));
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
    });
  }
  const bytes = await readBlob(source, descriptor, signal);
  if (descriptor.digest.startsWith('sha256:') && digestOf(bytes) !== descriptor.digest) {
    throw new TsbuildError({
      code: 'manifest-invalid',
      message: `${source.name}: the manifest does not have the digest ${descriptor.digest}`,
    });
  }
  return bytes;
}

async function* chunksOf(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

function isDocument(descriptor: Descriptor): boolean {
  return isManifestType(descriptor.mediaType) || isIndexType(descriptor.mediaType);
}
