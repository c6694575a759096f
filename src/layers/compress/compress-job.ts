/**
 * Compresses one segment of a file; runs in a worker thread. The segments of a file, joined in order between a header
 * and a trailer (gzip-frame.ts), are one valid stream.
 * Invariant: what comes out depends on the file's bytes, the level and the sizes fixed here, never on the number of
 * workers or on how segments are spread over them.
 *
 * gzip: raw deflate blocks (RFC 1951) ended by a sync flush, each primed with the 32 KiB before it, so that cutting costs
 * next to nothing (measured: 0.1 % against one stream). zstd: a frame of its own per segment; frames may follow each
 * other (RFC 8878, section 3).
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { constants, crc32, deflateRawSync } from 'node:zlib';
import { TsbuildError } from '../../core/index.ts';
import type { JobControl } from '../worker/job-control.ts';
import { looksIncompressible } from './incompressible.ts';
import { zstdCompressor } from './zstd.ts';

/**
 * Bytes of input per segment. A zstd frame knows nothing of the one before it: 4 MiB lose 1 % against one frame, 1 MiB 3 %.
 */
export const segmentSizes = { gzip: 1024 * 1024, zstd: 4 * 1024 * 1024 } as const;
/** Bytes of input per run of deflate. */
const blockSize = 256 * 1024;
/** How far back deflate may refer. */
const windowSize = 32 * 1024;

export interface CompressJob {
  /** Path of the uncompressed file. */
  readonly file: string;
  /** Bytes. A multiple of the segment size. */
  readonly offset: number;
  readonly length: number;
  /** Nothing follows this segment. */
  readonly last: boolean;
  readonly compression: 'gzip' | 'zstd';
  readonly level: number;
  /** Of `roomFor(compression)` bytes. Where the segment is read to and compressed to, so that no job leaves garbage. */
  readonly room: SharedArrayBuffer;
}

export interface CompressedSegment {
  /** Where in the room the compressed bytes lie. */
  readonly offset: number;
  readonly length: number;
  /** CRC-32 of the input (gzip only, else 0). */
  readonly crc: number;
}

/** Bytes a segment needs: for its input with the window before it, and for what comes out, incompressible as it may be. */
export function roomFor(compression: 'gzip' | 'zstd'): number {
  const input = windowSize + segmentSizes[compression];
  return input + input + Math.ceil(input / 128) + 4096;
}

/** @throws TsbuildError `store-io` when the file is shorter than the segment */
export function compressFile(input: CompressJob, control: JobControl): CompressedSegment {
  const before = Math.min(input.offset, input.compression === 'gzip' ? windowSize : 0);
  const buffer = Buffer.from(input.room, 0, before + input.length);
  readRange(input.file, input.offset - before, buffer);
  const out = new RoomWriter(input.room, buffer.length);
  if (input.compression === 'zstd') {
    out.put(zstdCompressor()(buffer, input.level));
    return { ...out.place, crc: 0 };
  }
  for (let start = before; ; start += blockSize) {
    control.throwIfAborted();
    const end = Math.min(start + blockSize, buffer.length);
    const finish = input.last && end === buffer.length;
    out.put(deflateBlock(buffer, start, end, finish, input.level));
    if (end === buffer.length) break;
  }
  return { ...out.place, crc: crc32(buffer.subarray(before)) };
}

function deflateBlock(buffer: Buffer, start: number, end: number, finish: boolean, level: number): Buffer {
  const block = buffer.subarray(start, end);
  const dictionary = buffer.subarray(Math.max(0, start - windowSize), start);
  const stored = level === 0 || looksIncompressible(block);
  return deflateRawSync(block, {
    level: stored ? 0 : level,
    memLevel: 9,
    // All of it at once: pieces would be joined in one more buffer.
    chunkSize: blockSize + 4096,
    finishFlush: finish ? constants.Z_FINISH : constants.Z_SYNC_FLUSH,
    ...(!stored && dictionary.length > 0 && { dictionary }),
  });
}

/** Puts compressed bytes one after another behind the input. */
class RoomWriter {
  readonly #bytes: Uint8Array;
  readonly #start: number;
  #end: number;

  constructor(room: SharedArrayBuffer, start: number) {
    this.#bytes = new Uint8Array(room);
    this.#start = start;
    this.#end = start;
  }

  get place(): { readonly offset: number; readonly length: number } {
    return { offset: this.#start, length: this.#end - this.#start };
  }

  put(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#end);
    this.#end += bytes.byteLength;
  }
}

/** Fills the buffer. */
function readRange(file: string, offset: number, buffer: Buffer): void {
  const { length } = buffer;
  const fd = openSync(file, 'r');
  try {
    for (let done = 0; done < length; ) {
      const read = readSync(fd, buffer, done, length - done, offset + done);
      if (read === 0) {
        throw new TsbuildError({
          code: 'store-io',
          message: `${file} ends at ${offset + done} bytes, before the ${offset + length} expected`,
          hint: 'Run tsbuild store check to find and drop damaged blobs.',
        });
      }
      done += read;
    }
  } finally {
    closeSync(fd);
  }
}
