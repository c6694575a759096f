/**
 * Compresses one segment of a file; runs in a worker thread. The segments of a file, joined in order between a header
 * and a trailer (gzip-frame.ts), are one valid stream.
 * Invariant: what comes out depends on the file's bytes, the level and the sizes fixed here, never on the number of
 * workers, on how segments are spread over them, on the processor or on the version of Node.
 *
 * gzip: deflate of the addon (RFC 1951; docs/compression.md says why not node:zlib), each segment ended by a sync flush
 * and primed with the 32 KiB before it, so that cutting costs next to nothing. zstd: a frame of its own per segment;
 * frames may follow each other (RFC 8878, section 3).
 */
import { readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { TsbuildError } from '../../core/index.ts';
import { native } from '../native/addon.ts';
import type { JobControl } from '../worker/job-control.ts';
import { zstdCompressor } from './zstd.ts';

/**
 * Bytes of input per segment. A zstd frame knows nothing of the one before it: 4 MiB lose 1 % against one frame, 1 MiB 3 %.
 */
export const segmentSizes = { gzip: 1024 * 1024, zstd: 4 * 1024 * 1024 } as const;
/** How far back deflate may refer. */
const windowSize = 32 * 1024;

export interface CompressJob {
  /** Descriptor of the uncompressed file, open for reading until the job has ended. */
  readonly fd: number;
  /** Its path, for messages. */
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
  readRange(input, input.offset - before, buffer);
  control.throwIfAborted();
  if (input.compression === 'zstd') {
    const frame = zstdCompressor()(buffer, input.level);
    new Uint8Array(input.room).set(frame, buffer.length);
    return { offset: buffer.length, length: frame.byteLength, crc: 0 };
  }
  const room = new Uint8Array(input.room);
  const length = native.deflate(room, before, input.length, input.last ? 1 : 0, input.level);
  return { offset: buffer.length, length, crc: crc32(buffer.subarray(before)) };
}

/** Fills the buffer. */
function readRange({ fd, file }: CompressJob, offset: number, buffer: Buffer): void {
  const { length } = buffer;
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
}
