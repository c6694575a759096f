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
}

export interface CompressedSegment {
  readonly bytes: Uint8Array;
  /** CRC-32 of the input (gzip only, else 0). */
  readonly crc: number;
}

/** @throws TsbuildError `store-io` when the file is shorter than the segment */
export function compressFile(input: CompressJob, control: JobControl): CompressedSegment {
  const before = Math.min(input.offset, input.compression === 'gzip' ? windowSize : 0);
  const buffer = readRange(input.file, input.offset - before, before + input.length);
  if (input.compression === 'zstd') {
    return { bytes: zstdCompressor()(buffer, input.level), crc: 0 };
  }
  const parts: Buffer[] = [];
  for (let start = before; ; start += blockSize) {
    control.throwIfAborted();
    const end = Math.min(start + blockSize, buffer.length);
    const finish = input.last && end === buffer.length;
    parts.push(deflateBlock(buffer, start, end, finish, input.level));
    if (end === buffer.length) break;
  }
  return { bytes: joined(parts), crc: crc32(buffer.subarray(before)) };
}

function deflateBlock(buffer: Buffer, start: number, end: number, finish: boolean, level: number): Buffer {
  const block = buffer.subarray(start, end);
  const dictionary = buffer.subarray(Math.max(0, start - windowSize), start);
  const stored = level === 0 || looksIncompressible(block);
  return deflateRawSync(block, {
    level: stored ? 0 : level,
    memLevel: 9,
    chunkSize: 64 * 1024,
    finishFlush: finish ? constants.Z_FINISH : constants.Z_SYNC_FLUSH,
    ...(!stored && dictionary.length > 0 && { dictionary }),
  });
}

/** In memory of its own, which is handed to the main thread without a copy. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((size, part) => size + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

function readRange(file: string, offset: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafeSlow(length);
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
  return buffer;
}
