/**
 * The blobs of a store: content under its own digest.
 * Invariant: bytes reach a final name only after their digest was computed over all of them and they were synced; bytes
 * that are read are verified, and a file that fails is dropped so that the blob is fetched or built again.
 */
import { closeSync, constants, fstatSync, openSync, statSync, unlinkSync } from 'node:fs';
import { isTsbuildError, systemErrorCode, throwIfAborted } from '../../core/index.ts';
import {
  createDigestHasher,
  type Descriptor,
  type Digest,
  digestAlgorithm,
  isDocumentType,
  type PutOptions,
} from '../../image/index.ts';
import type { Downloads } from './downloads.ts';
import { blobDamaged, blobMismatch, blobMissing, sizeMismatch, storeFailure } from './failures.ts';
import { blobPathIn, type Layout } from './layout.ts';
import type { PendingBlobs } from './pending-blobs.ts';
import type { Presence } from './presence.ts';
import { readAt } from './read-at.ts';
import type { UsageMarks } from './usage-marks.ts';
import { writeChunks } from './write-chunks.ts';

/** Bytes per read: large enough that system calls do not show, small enough to stay in memory. */
const chunkSize = 512 * 1024;
/** Reading a blob up to this size shows beside nothing: its presence alone is not believed. Bytes. */
const smallBlob = 1024 * 1024;

export interface BlobsParts {
  readonly layout: Layout;
  readonly presence: Presence;
  readonly pending: PendingBlobs;
  readonly marks: UsageMarks;
  readonly downloads: Downloads;
}

interface ReadOptions {
  readonly isVerified: boolean;
  /** Reused: a piece is what it is until the next one is asked for. */
  readonly memory: 'kept' | 'reused';
}

/** For whoever asks no more than whether the bytes are sound. */
const verifying: ReadOptions = { isVerified: false, memory: 'reused' };

export class Blobs {
  readonly #parts: BlobsParts;
  readonly #writing = new Map<Digest, Promise<unknown>>();
  readonly #trusted = new Set<Digest>();
  /** Those that were here when this process looked; only damage takes them away from it. */
  readonly #known = new Set<Digest>();
  readonly #dropped: Digest[] = [];

  constructor(parts: BlobsParts) {
    this.#parts = parts;
  }

  path(digest: Digest): string {
    return blobPathIn(this.#parts.layout, digest);
  }

  /** Whether the blob is here; if so `prune` in another process leaves it until this one ends. */
  has(digest: Digest): boolean {
    const isHere = this.#parts.pending.has(digest) || this.#parts.marks.use(this.path(digest));
    if (isHere) this.#known.add(digest);
    else this.#noticeLoss(digest);
    return isHere;
  }

  /** A path for a draft that `adopt` will take. */
  draft(): string {
    return this.#parts.presence.draft();
  }

  /** Takes over a complete draft whose digest the caller computed while writing it. */
  adopt(draft: string, digest: Digest): void {
    // A shorter one that is there was cut; other damage is found by whoever reads it.
    if (this.has(digest) && (this.#parts.pending.has(digest) || sizeOf(this.path(digest)) === sizeOf(draft))) {
      return removeFile(draft);
    }
    this.#trusted.add(digest);
    this.#parts.pending.add(digest, draft, this.path(digest));
  }

  /** Gives up a draft, complete or not. */
  discard(draft: string): void {
    removeFile(draft);
  }

  /** Whether this process computed the digest of the blob, so that reading it need not do so again. */
  isTrusted(digest: Digest): boolean {
    return this.#trusted.has(digest);
  }

  /** What this process knew to be here and is not any more, in order: damaged, dropped by this process or another. */
  get dropped(): readonly Digest[] {
    return this.#dropped;
  }

  /**
   * Whether the blob is here and worth relying on: a small one is read, once per process. So whoever brings a blob again
   * replaces a damaged one; a large one is verified by whoever reads it.
   */
  async holds(descriptor: Descriptor, signal: AbortSignal): Promise<boolean> {
    if (!this.has(descriptor.digest)) return false;
    return descriptor.size > smallBlob || (await this.verify(descriptor.digest, signal));
  }

  /** Like `isSound`, but reads no more than once per process. */
  async verify(digest: Digest, signal: AbortSignal): Promise<boolean> {
    if (this.#trusted.has(digest)) return this.has(digest);
    const sound = await this.isSound(digest, signal);
    if (sound) this.#trusted.add(digest);
    return sound;
  }

  /** Whether the blob is here and its bytes have its digest. One whose bytes have not is dropped. */
  async isSound(digest: Digest, signal: AbortSignal): Promise<boolean> {
    try {
      for await (const _chunk of this.#pieces(digest, signal));
      return true;
    } catch (error) {
      if (isTsbuildError(error) && (error.code === 'blob-damaged' || error.code === 'blob-missing')) return false;
      throw error;
    }
  }

  /**
   * @throws TsbuildError `blob-mismatch` when the bytes are not what the descriptor says, `store-full`
   */
  async put(
    descriptor: Descriptor,
    source: (from?: number) => Promise<AsyncIterable<Uint8Array>>,
    options: PutOptions,
  ): Promise<'written' | 'exists'> {
    // What a manifest refers to is on the disk before the manifest: after a power loss no manifest lacks its parts.
    if (isDocumentType(descriptor.mediaType)) await this.#parts.pending.settle();
    for (;;) {
      throwIfAborted(options.signal);
      if (await this.holds(descriptor, options.signal)) return 'exists';
      const other = this.#writing.get(descriptor.digest);
      if (other === undefined) break;
      await Promise.allSettled([other]);
    }
    const writing = options.resumable
      ? this.#download(descriptor, source, options)
      : this.#write(source, options, descriptor).then(() => 'written' as const);
    this.#writing.set(descriptor.digest, writing);
    try {
      return await writing;
    } finally {
      this.#writing.delete(descriptor.digest);
    }
  }

  /** Puts bytes whose digest is not known before. */
  async putStream(mediaType: string, bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Descriptor> {
    const { digest, size } = await this.#write(async () => bytes, { signal }, undefined);
    return { mediaType, digest, size };
  }

  /**
   * The bytes of a blob, verified as they pass: the last chunk is followed by an error when they are wrong.
   * @throws TsbuildError `blob-missing`, `blob-damaged`, `blob-mismatch` (the descriptor's size is not the blob's)
   */
  open(descriptor: Descriptor, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    return this.#open(descriptor, signal, { isVerified: false, memory: 'kept' });
  }

  /** Like `open`, in memory that is used again, and not verified once more when this process has done that. */
  openPieces(descriptor: Descriptor, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    return this.#open(descriptor, signal, { isVerified: this.isTrusted(descriptor.digest), memory: 'reused' });
  }

  async #open(descriptor: Descriptor, signal: AbortSignal, options: ReadOptions): Promise<AsyncIterable<Uint8Array>> {
    const { digest } = descriptor;
    await this.#parts.pending.finished(digest);
    const actual = sizeOf(this.path(digest));
    if (actual === undefined)
      throw this.#noticeLoss(digest) ? blobDamaged(digest, 'found by another process') : blobMissing(digest);
    if (actual === descriptor.size) return this.#pieces(digest, signal, options);
    // A hostile descriptor must not make us drop a sound blob: only the digest tells whether the file is damaged.
    for await (const _chunk of this.#pieces(digest, signal));
    throw sizeMismatch(digest, descriptor.size, actual);
  }

  /** Drops the file of a blob that was found damaged, unless it was replaced since `inode` was read. */
  drop(digest: Digest, inode?: number): void {
    const path = this.path(digest);
    this.#trusted.delete(digest);
    const status = statSync(path, { throwIfNoEntry: false });
    if (status !== undefined && (inode === undefined || status.ino === inode)) {
      removeFile(path);
      this.#known.delete(digest);
      this.#dropped.push(digest);
    }
  }

  /** Knows nothing any more of a blob that was taken away on purpose. */
  forget(digest: Digest): void {
    this.#trusted.delete(digest);
    this.#known.delete(digest);
  }

  /** Whether a blob that is not here was here before. */
  #noticeLoss(digest: Digest): boolean {
    const isLost = this.#known.delete(digest);
    if (isLost) {
      this.#trusted.delete(digest);
      this.#dropped.push(digest);
    }
    return isLost;
  }

  /** The file is opened by the first chunk: a stream nobody reads leaves nothing open. */
  async *#pieces(
    digest: Digest,
    signal: AbortSignal,
    { isVerified, memory }: ReadOptions = verifying,
  ): AsyncGenerator<Uint8Array> {
    const path = this.path(digest);
    const file = openForReading(path, digest);
    const { ino, size } = fstatSync(file);
    const hasher = isVerified ? undefined : createDigestHasher(digestAlgorithm(digest));
    const length = Math.min(chunkSize, size);
    // Fresh memory for each piece costs more than to read it. Two: one is read while the other is hashed and used.
    const rooms = memory === 'reused' ? [Buffer.allocUnsafeSlow(length), Buffer.allocUnsafeSlow(length)] : [];
    const read = async (): Promise<Buffer> => {
      const room = rooms.shift() ?? Buffer.allocUnsafeSlow(Math.min(length, size - position));
      if (memory === 'reused') rooms.push(room);
      return readPiece(file, position, room.subarray(0, size - position), path);
    };
    let position = 0;
    let reading = read();
    try {
      for (;;) {
        throwIfAborted(signal);
        const chunk = await reading;
        if (chunk.length === 0) break;
        position += chunk.length;
        reading = read();
        reading.catch(() => {
          // Thrown when its turn comes, if it does.
        });
        hasher?.update(chunk);
        yield chunk;
      }
      if (position !== size || (hasher !== undefined && hasher.digest() !== digest)) {
        this.drop(digest, ino);
        throw blobDamaged(digest, `its ${size} bytes have another digest`);
      }
    } finally {
      await Promise.allSettled([reading]);
      closeSync(file);
    }
  }

  /** Nobody else downloads the blob until it has its name here, and then they find it. */
  async #download(
    descriptor: Descriptor,
    source: (from?: number) => Promise<AsyncIterable<Uint8Array>>,
    options: PutOptions,
  ): Promise<'written' | 'exists'> {
    const { downloads, pending } = this.#parts;
    const arrived = await downloads.fetch(descriptor, source, options, () => this.holds(descriptor, options.signal));
    if (arrived === undefined) return 'exists';
    try {
      this.adopt(arrived.path, descriptor.digest);
    } finally {
      void pending.published(descriptor.digest).finally(() => arrived.lock.release());
    }
    return 'written';
  }

  async #write(
    source: () => Promise<AsyncIterable<Uint8Array>>,
    options: PutOptions,
    expected: Descriptor | undefined,
  ): Promise<{ digest: Digest; size: number }> {
    const draft = this.draft();
    const hasher = createDigestHasher(expected ? digestAlgorithm(expected.digest) : 'sha256');
    let finished = false;
    try {
      const size = await writeChunks(draft, await source(), {
        signal: options.signal,
        start: 0,
        limit: expected?.size ?? Number.POSITIVE_INFINITY,
        onChunk: (chunk) => hasher.update(chunk),
        onProgress: options.onProgress,
      });
      const digest = hasher.digest();
      if (expected !== undefined && (digest !== expected.digest || size !== expected.size)) {
        throw blobMismatch(expected, size, digest);
      }
      this.adopt(draft, digest);
      finished = true;
      return { digest, size };
    } finally {
      if (!finished) removeFile(draft);
    }
  }
}

function openForReading(path: string, digest: Digest): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') throw blobMissing(digest);
    throw storeFailure(error, `cannot read the blob ${path}`);
  }
}

/** The next bytes of a file, none at its end. */
async function readPiece(file: number, position: number, buffer: Buffer, path: string): Promise<Buffer> {
  try {
    return await readAt(file, buffer, position);
  } catch (error) {
    throw storeFailure(error, `cannot read ${path}`);
  }
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw storeFailure(error, `cannot remove ${path}`);
  }
}
