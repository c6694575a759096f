/**
 * Blobs on their way from afar, each in one file that all processes on the store share: who holds its lock fills it, the
 * others wait and then find the blob. What arrived before a break, or before a kill, stays and is gone on with.
 * Invariant: a file becomes a blob only after the digest of all its bytes was computed here; what was there before is
 * believed no more than what comes.
 */
import { createReadStream, statSync, unlinkSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { isTsbuildError, systemErrorCode } from '../../core/index.ts';
import {
  createDigestHasher,
  type Descriptor,
  type Digest,
  digestAlgorithm,
  type PutOptions,
} from '../../image/index.ts';
import type { HashThread } from '../worker/hash-thread.ts';
import { blobMismatch, storeFailure } from './failures.ts';
import { namesIn } from './if-there.ts';
import { acquireLock, type KernelLock, tryLock } from './kernel-lock.ts';
import type { Layout } from './layout.ts';
import type { Lazy } from './lazy.ts';
import type { Presence } from './presence.ts';
import { writeChunks } from './write-chunks.ts';

export interface ArrivedBlob {
  readonly path: string;
  /** To be released when the blob has its final name. */
  readonly lock: KernelLock;
}

/** Bytes; the thread takes longer to start than what is smaller takes to be hashed. */
const worthAThread = 16 * 1024 * 1024;

type OpenFrom = (from?: number) => Promise<AsyncIterable<Uint8Array>>;

export class Downloads {
  readonly #layout: Layout;
  readonly #presence: Presence;
  readonly #hashThread: Lazy<HashThread>;

  constructor(layout: Layout, presence: Presence, hashThread: Lazy<HashThread>) {
    this.#layout = layout;
    this.#presence = presence;
    this.#hashThread = hashThread;
  }

  /**
   * Resolves to the complete, verified file; to undefined when the blob was here once it was our turn.
   * @throws TsbuildError `blob-mismatch`, `store-full`, `cancelled`, or what the source failed with
   */
  async fetch(
    descriptor: Descriptor,
    open: OpenFrom,
    options: PutOptions,
    isHere: () => Promise<boolean>,
  ): Promise<ArrivedBlob | undefined> {
    const path = join(this.#layout.downloads, descriptor.digest.replace(':', '-'));
    // Known to `prune` in other processes before there is a blob it could take for garbage.
    this.#presence.enter();
    // The file is its own lock: when it has become the blob, its name is free and the next in turn finds a new file.
    const lock = await acquireLock(path, 'exclusive', options.signal);
    let outcome: 'arrived' | 'here' | 'failed' = 'failed';
    try {
      if (await isHere()) {
        outcome = 'here';
        return undefined;
      }
      await this.#complete(path, descriptor, open, options);
      // It may have begun to arrive long ago, and `prune` goes by when a blob was used last.
      const now = Date.now() / 1000;
      utimesSync(path, now, now);
      outcome = 'arrived';
      return { path, lock };
    } catch (error) {
      if (isTsbuildError(error) && error.code === 'blob-mismatch') remove(path);
      throw error;
    } finally {
      if (outcome === 'here' || (outcome === 'failed' && sizeOf(path) === 0)) remove(path);
      if (outcome !== 'arrived') lock.release();
    }
  }

  /** Goes on with what is there. When the whole then has another digest, that part may be to blame: once more without it. */
  async #complete(path: string, descriptor: Descriptor, open: OpenFrom, options: PutOptions): Promise<void> {
    const held = sizeOf(path);
    const start = held <= descriptor.size ? held : 0;
    try {
      await this.#fill(path, start, descriptor, open, options);
    } catch (error) {
      if (start === 0 || !isTsbuildError(error) || error.code !== 'blob-mismatch') throw error;
      await this.#fill(path, 0, descriptor, open, options);
    }
  }

  async #fill(path: string, start: number, descriptor: Descriptor, open: OpenFrom, options: PutOptions): Promise<void> {
    const hash = await this.#hashOf(path, start, descriptor);
    let digest: Digest | undefined;
    try {
      const isWhole = start === descriptor.size && start > 0;
      const size = isWhole
        ? start
        : await writeChunks(path, await open(start), {
            signal: options.signal,
            start,
            limit: descriptor.size,
            onChunk: (chunk) => hash.take(chunk),
            onProgress: (arrived) => {
              hash.grown(arrived);
              options.onProgress?.(arrived);
            },
          });
      digest = await hash.digest(size);
      if (size !== descriptor.size || digest !== descriptor.digest) throw blobMismatch(descriptor, size, digest);
    } finally {
      if (digest === undefined) hash.forget();
    }
  }

  /** Of a file that has `start` bytes by now. */
  async #hashOf(path: string, start: number, { size, digest }: Descriptor): Promise<ArrivalHash> {
    const algorithm = digestAlgorithm(digest);
    if (size >= worthAThread) {
      const growing = (await this.#hashThread.get()).file(path, algorithm);
      return {
        take: () => {},
        grown: (arrived) => growing.grown(arrived),
        digest: (arrived) => growing.digest(arrived),
        forget: () => growing.forget(),
      };
    }
    const hasher = createDigestHasher(algorithm);
    if (start > 0) for await (const chunk of createReadStream(path, { end: start - 1 })) hasher.update(chunk);
    return {
      take: (chunk) => hasher.update(chunk),
      grown: () => {},
      digest: async () => hasher.digest(),
      forget: () => {},
    };
  }
}

/** The digest of a file that is being written, computed from the bytes as they come or from the file as it grows. */
interface ArrivalHash {
  take(chunk: Uint8Array): void;
  grown(size: number): void;
  digest(size: number): Promise<Digest>;
  forget(): void;
}

/** Removes what arrived in part and nobody is working on. Resolves to the number of files. */
export function removeAbandonedDownloads(layout: Layout): number {
  let removed = 0;
  for (const name of namesIn(layout.downloads)) {
    const path = join(layout.downloads, name);
    using lock = tryLock(path, 'exclusive');
    if (lock === undefined) continue;
    remove(path);
    removed += 1;
  }
  return removed;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw storeFailure(error, `cannot remove ${path}`);
  }
}
