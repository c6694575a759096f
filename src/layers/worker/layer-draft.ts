/**
 * The file a new layer is written to: tar bytes through one buffer, hashed as they pass.
 * Invariant: every byte of the file went through the hash once; memory is the buffer's, whatever the layer's size.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { createDigestHasher, type Digest, type DigestHasher } from '../../image/index.ts';
import { native } from '../native/addon.ts';
import { EarlyWriteback } from '../native/early-writeback.ts';
import { encodeHeader, endOfArchive, type HeaderFields, headerRoom } from '../tar/tar-encoder.ts';
import { paddingOf } from '../tar/tar-format.ts';
import type { JobControl } from './job-control.ts';
import { layerFailure } from './system-error.ts';

/** Bytes. */
export const draftBufferSize = 1024 * 1024;

/**
 * Bytes of a content below which its holes are read as the zeros they are: to find the next one, tmpfs looks at every page
 * of the file up to it, which may be a whole layer for each of its small files.
 */
const worthSeeking = 1024 * 1024;

export class LayerDraft {
  readonly #buffer: Buffer;
  readonly #hash: DigestHasher = createDigestHasher();
  readonly #control: JobControl;
  readonly #fd: number;
  readonly #writeback: EarlyWriteback;
  #used = 0;
  #size = 0;

  /**
   * @param path must not exist
   * @param buffer of `draftBufferSize`, nobody else's until this is closed
   */
  constructor(path: string, control: JobControl, buffer: Buffer = Buffer.allocUnsafe(draftBufferSize)) {
    this.#buffer = buffer;
    this.#fd = openNew(path);
    this.#writeback = new EarlyWriteback(this.#fd);
    this.#control = control;
  }

  /**
   * A point to come back to with `rewind`, as long as no more than `room` bytes were put since.
   * @param room bytes; must be below the buffer's
   */
  mark(room: number): number {
    if (draftBufferSize - this.#used < room) this.#flush();
    return this.#used;
  }

  rewind(mark: number): void {
    this.#used = mark;
  }

  /** Starts an entry; as many content bytes as it says must follow, then `endContent`. */
  header(entry: HeaderFields): void {
    const at = this.#reserve(headerRoom);
    const written = encodeHeader(entry, this.#buffer, at);
    this.#used = at;
    if (typeof written === 'number') this.#used += written;
    else this.bytes(written);
  }

  bytes(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const room = this.#room();
      const taken = Math.min(room, bytes.length - done);
      this.#buffer.set(bytes.subarray(done, done + taken), this.#used);
      this.#used += taken;
      done += taken;
    }
  }

  /** @param onPiece sees them, as in `copy` */
  zeros(count: number, onPiece?: (piece: Buffer) => void): void {
    for (let left = count; left > 0; ) {
      const taken = Math.min(this.#room(), left);
      this.#buffer.fill(0, this.#used, this.#used + taken);
      onPiece?.(this.#buffer.subarray(this.#used, this.#used + taken));
      this.#used += taken;
      left -= taken;
    }
  }

  /**
   * Room for a small content that `fill` writes in place.
   * @param size at most 512 KiB
   * @returns what `fill` put there; it stays until the next call
   */
  inPlace(size: number, fill: (buffer: Buffer, offset: number) => void): Buffer {
    const at = this.#reserve(size);
    fill(this.#buffer, at);
    return this.#buffer.subarray(at, at + size);
  }

  /**
   * Copies from an open file, without reading its holes where they may be large.
   * @param onPiece sees every byte, zeros of holes included, in order
   * @returns the bytes copied: fewer than `size` when the file ended before
   */
  copy(fd: number, position: number, size: number, onPiece?: (piece: Buffer) => void): number {
    let done = 0;
    let dataEnd = size < worthSeeking ? Number.POSITIVE_INFINITY : 0;
    while (done < size) {
      const at = position + done;
      if (at >= dataEnd) {
        const data = native.seekData(fd, at, 0);
        const next = data < 0 ? position + size : data;
        if (next > at) {
          const hole = Math.min(next - at, size - done, draftBufferSize);
          // The end of the file is a hole to lseek: only a read tells that it became shorter.
          if (data < 0 && !this.#reaches(fd, at + hole)) return done;
          this.zeros(hole, onPiece);
          done += hole;
          continue;
        }
        dataEnd = native.seekData(fd, at, 1);
      }
      const wanted = Math.min(this.#room(), size - done);
      const from = this.#used;
      const count = readSync(fd, this.#buffer, from, wanted, at);
      if (count === 0) return done;
      this.#used += count;
      onPiece?.(this.#buffer.subarray(from, from + count));
      done += count;
    }
    return done;
  }

  endContent(size: number): void {
    this.zeros(paddingOf(size));
  }

  /** Ends the archive. Whoever gives the file a name syncs it before. */
  finish(): { readonly diffId: Digest; readonly size: number } {
    this.bytes(endOfArchive());
    this.#flush();
    return { diffId: this.#hash.digest(), size: this.#size };
  }

  close(): void {
    closeSync(this.#fd);
  }

  #reaches(fd: number, end: number): boolean {
    return end === 0 || readSync(fd, Buffer.alloc(1), 0, 1, end - 1) === 1;
  }

  /** Free bytes in the buffer, at least one. */
  #room(): number {
    if (this.#used === draftBufferSize) this.#flush();
    return draftBufferSize - this.#used;
  }

  #reserve(size: number): number {
    if (draftBufferSize - this.#used < size) this.#flush();
    const at = this.#used;
    this.#used += size;
    return at;
  }

  #flush(): void {
    this.#control.throwIfAborted();
    const filled = this.#buffer.subarray(0, this.#used);
    this.#hash.update(filled);
    for (let done = 0; done < filled.length; ) done += writeSync(this.#fd, filled, done);
    this.#size += filled.length;
    this.#used = 0;
    this.#writeback.reached(this.#size);
    this.#control.written?.(this.#size);
  }
}

/** It may be the first file a full disk refuses. */
function openNew(path: string): number {
  try {
    return openSync(path, 'wx', 0o644);
  } catch (error) {
    throw layerFailure(error, 'writing a layer');
  }
}
