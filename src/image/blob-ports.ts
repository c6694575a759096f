/**
 * The two faces behind which every place that keeps images stands: the local store, a registry, an archive, an engine.
 * Pull, push, save, load and copy are `copyGraph` between two of them.
 */
import { TsbuildError } from '../core/index.ts';
import type { Descriptor } from './descriptor.ts';

export interface BlobSource {
  /** For errors and progress: `registry ghcr.io`, `the local store`, `archive app.tar`. */
  readonly name: string;
  /**
   * What a name stands for: a tag, `name:tag`, or a digest; what is accepted is the source's own affair.
   * @throws TsbuildError naming the reference when there is none
   */
  resolve(reference: string, signal: AbortSignal, options?: ResolveOptions): Promise<Descriptor>;
  /**
   * The exact bytes of a blob, a manifest or an index. A source verifies digest and size while streaming: the last
   * chunk is followed by an error, not by the end, when they do not match.
   */
  open(descriptor: Descriptor, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  /**
   * The same without hashing, for whoever verifies the digest: hashing twice costs a tenth of a large transfer.
   * @param from bytes of the beginning to leave out
   */
  openUnverified?(descriptor: Descriptor, signal: AbortSignal, from?: number): Promise<AsyncIterable<Uint8Array>>;
}

export interface ResolveOptions {
  /** The document is read next: a source that each question is a journey to brings it at once. */
  readonly alsoRead?: boolean;
}

export interface BlobSink {
  readonly name: string;
  /** True when a manifest the sink has implies everything below it. A store may hold manifests without their layers. */
  readonly complete?: boolean;
  has(descriptor: Descriptor, signal: AbortSignal): Promise<boolean>;
  /**
   * Takes a blob, a manifest or an index. Manifests come after everything they refer to. `open` may be called again to
   * retry. Nothing is visible under the digest until all bytes were verified. Resolves to how the sink came by it.
   */
  put(
    descriptor: Descriptor,
    open: (from?: number) => Promise<AsyncIterable<Uint8Array>>,
    options: PutOptions,
  ): Promise<'written' | 'mounted' | 'exists'>;
  /** Gives a name to something already put. Atomic. */
  tag(descriptor: Descriptor, reference: string, signal: AbortSignal): Promise<void>;
}

export interface PutOptions {
  readonly signal: AbortSignal;
  /** Repositories (`registry/repository`) that are known to hold this blob, for a cross-repository mount. */
  readonly knownIn?: readonly string[];
  /** Called with the bytes handed over so far. */
  readonly onProgress?: (bytes: number) => void;
  /**
   * The blob comes from afar, and `open(n)` leaves out its first n bytes: a sink may keep what arrived before a break
   * and ask for the rest only. The bytes are not verified.
   */
  readonly resumable?: boolean;
}

/** Bytes a configuration may have: those of honest images have a few thousand. */
const smallBlobLimit = 16 * 1024 * 1024;

/**
 * Reads a small blob whole.
 * @param limit bytes
 * @throws TsbuildError `config-invalid` when its descriptor claims more, before a byte is asked for
 */
export async function readBlob(
  source: BlobSource,
  descriptor: Descriptor,
  signal: AbortSignal,
  limit = smallBlobLimit,
): Promise<Buffer> {
  if (descriptor.size > limit) {
    throw new TsbuildError({
      code: 'config-invalid',
      message: `${source.name}: ${descriptor.digest} is to be read whole and has ${descriptor.size} bytes; ${limit} are allowed`,
      hint: 'No honest image has such a configuration: do not use it.',
    });
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of await source.open(descriptor, signal)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Bytes that are at hand, as `put` and `open` have them. */
export async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
