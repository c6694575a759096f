/**
 * The blobs of a store: content under its own digest.
 * Invariant: bytes reach a final name only after their digest was computed over all of them and they were synced; bytes
 * that are read are verified, and a file that fails is dropped so that the blob is fetched or built again.
 */
import { closeSync, constants, fstatSync, openSync, read, readSync, statSync, unlinkSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { isTsbuildError, systemErrorCode, TsbuildError, throwIfAborted } from '../../core/index.ts';
import {
  createDigestHasher,
  type Descriptor,
  type Digest,
  type DigestHasher,
  digestAlgorithm,
  isIndexType,
  isManifestType,
  type PutOptions,
} from '../../image/index.ts';
import { blobDamaged, blobMissing, sizeMismatch, storeFailure } from './failures.ts';
import { blobPathIn, type Layout } from './layout.ts';
import type { PendingBlobs } from './pending-blobs.ts';
import type { Presence } from './presence.ts';
import type { UsageMarks } from './usage-marks.ts';

/** Bytes per read and per write: large enough that system calls do not show, small enough to stay in memory. */
const chunkSize = 512 * 1024;
/** Reading a blob up to this size shows beside nothing: its presence alone is not believed. Bytes. */
const smallBlob = 1024 * 1024;
/** A piece up to this size is read in place: the way through libuv's threads costs more than its bytes. */
const smallRead = 64 * 1024;
const readAside = promisify(read);

export interface BlobsParts {
  readonly layout: Layout;
  readonly presence: Presence;
  readonly pending: PendingBlobs;
  readonly marks: UsageMarks;
}

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
      for await (const _chunk of this.#verified(this.path(digest), digest, signal));
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
    source: () => Promise<AsyncIterable<Uint8Array>>,
    options: PutOptions,
  ): Promise<'written' | 'exists'> {
    // What a manifest refers to is on the disk before the manifest: after a power loss no manifest lacks its parts.
    if (isDocument(descriptor)) await this.#parts.pending.settle();
    for (;;) {
      throwIfAborted(options.signal);
      if (await this.holds(descriptor, options.signal)) return 'exists';
      const other = this.#writing.get(descriptor.digest);
      if (other === undefined) break;
      await Promise.allSettled([other]);
    }
    const writing = this.#write(source, options, descriptor);
    this.#writing.set(descriptor.digest, writing);
    try {
      await writing;
    } finally {
      this.#writing.delete(descriptor.digest);
    }
    return 'written';
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
  async open(descriptor: Descriptor, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const { digest } = descriptor;
    await this.#parts.pending.finished(digest);
    const path = this.path(digest);
    const actual = statSync(path, { throwIfNoEntry: false })?.size;
    if (actual === undefined)
      throw this.#noticeLoss(digest) ? blobDamaged(digest, 'found by another process') : blobMissing(digest);
    if (actual === descriptor.size) return this.#verified(path, digest, signal);
    // A hostile descriptor must not make us drop a sound blob: only the digest tells whether the file is damaged.
    for await (const _chunk of this.#verified(path, digest, signal));
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
  async *#verified(path: string, digest: Digest, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const file = openForReading(path, digest);
    try {
      const { ino, size } = fstatSync(file);
      const hasher = createDigestHasher(digestAlgorithm(digest));
      let position = 0;
      while (position < size) {
        throwIfAborted(signal);
        // A new buffer for every chunk: whoever consumes them may keep one while it asks for the next.
        const buffer = Buffer.allocUnsafeSlow(Math.min(chunkSize, size - position));
        const bytesRead = await readAt(file, buffer, position, path);
        if (bytesRead === 0) break;
        const chunk = buffer.subarray(0, bytesRead);
        hasher.update(chunk);
        position += bytesRead;
        yield chunk;
      }
      if (hasher.digest() !== digest) {
        this.drop(digest, ino);
        throw blobDamaged(digest, `its ${size} bytes have another digest`);
      }
    } finally {
      closeSync(file);
    }
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
      const size = await writeChunks(
        draft,
        await source(),
        hasher,
        options,
        expected?.size ?? Number.POSITIVE_INFINITY,
      );
      const digest = hasher.digest();
      if (expected !== undefined && (digest !== expected.digest || size !== expected.size)) {
        throw mismatch(
          expected,
          size > expected.size ? `more than ${expected.size} bytes` : `${size} bytes, ${digest}`,
        );
      }
      this.adopt(draft, digest);
      finished = true;
      return { digest, size };
    } finally {
      if (!finished) removeFile(draft);
    }
  }
}

/** Stops early, with a size above `limit`, when there are more bytes than that. */
async function writeChunks(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  hasher: DigestHasher,
  options: PutOptions,
  limit: number,
): Promise<number> {
  const file = await openForWriting(path);
  let batch: Uint8Array[] = [];
  let batchSize = 0;
  let size = 0;
  const flush = async (): Promise<void> => {
    const [bytes, length] = [batch, batchSize];
    batch = [];
    batchSize = 0;
    await writeAll(file, bytes, length, path);
  };
  try {
    for await (const chunk of chunks) {
      throwIfAborted(options.signal);
      if (chunk.byteLength === 0) continue;
      size += chunk.byteLength;
      if (size > limit) return size;
      hasher.update(chunk);
      batch.push(chunk);
      batchSize += chunk.byteLength;
      if (batchSize >= chunkSize) await flush();
      options.onProgress?.(size);
    }
    throwIfAborted(options.signal);
    await flush();
  } finally {
    await file.close();
  }
  return size;
}

/** writev may write less than it was given, on a disk that fills up. */
async function writeAll(file: FileHandle, chunks: readonly Uint8Array[], length: number, path: string): Promise<void> {
  try {
    if (chunks.length === 0) return;
    const { bytesWritten } = await file.writev(chunks);
    if (bytesWritten === length) return;
    const rest = Buffer.concat(chunks).subarray(bytesWritten);
    for (let done = 0; done < rest.length; ) done += (await file.write(rest, done)).bytesWritten;
  } catch (error) {
    throw storeFailure(error, `cannot write ${path}`);
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

async function openForWriting(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (error) {
    throw storeFailure(error, `cannot write ${path}`);
  }
}

async function readAt(file: number, buffer: Buffer, position: number, path: string): Promise<number> {
  try {
    if (buffer.length <= smallRead) return readSync(file, buffer, 0, buffer.length, position);
    return (await readAside(file, buffer, 0, buffer.length, position)).bytesRead;
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

function mismatch(expected: Descriptor, got: string): TsbuildError {
  return new TsbuildError({
    code: 'blob-mismatch',
    message: `the bytes received for ${expected.digest} (${expected.size} bytes) are not that blob: ${got}`,
    hint: 'Run the command again; if it fails again, the place the image comes from holds a damaged copy.',
  });
}

function isDocument(descriptor: Descriptor): boolean {
  return isManifestType(descriptor.mediaType) || isIndexType(descriptor.mediaType);
}
