/**
 * An archive as entries whose content lies in a private file: nothing of it ever touches a file system by its own name,
 * so no name in it can do harm there.
 * Invariant: what is not a tar, compressed or not, is told apart by its first header and left alone; a tar that breaks
 * later is an error, as in Docker.
 */
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { TsbuildError, throwIfAborted } from '../../../core/index.ts';
import { type EntryContent, type LayerEntry, openFileBeneath } from '../../../layers/index.ts';
import { contextUnreadable } from '../regular-file.ts';
import { decompress, detectCompression, type FileCompression } from './compression.ts';
import { type ArchiveLimits, defaultArchiveLimits } from './limits.ts';

export interface ReadArchiveOptions {
  /** For messages. */
  readonly name: string;
  /** A private folder tsbuild owns; the plain tar is kept there as long as the entries are used. */
  readonly temporary: string;
  readonly signal: AbortSignal;
  readonly limits?: ArchiveLimits;
}

export type ReadArchive =
  | { readonly kind: 'archive'; readonly entries: readonly LayerEntry[]; readonly file: string }
  /** Not a tar, an empty one, or one whose first header is broken. */
  | { readonly kind: 'other' };

/**
 * @param size bytes of the content
 * @throws TsbuildError `archive-invalid`, `archive-too-large`, `cancelled`
 */
export async function readArchive(
  content: EntryContent,
  size: number,
  options: ReadArchiveOptions,
): Promise<ReadArchive> {
  const head = await firstBytes(readContent(content, size), blockSize);
  const compression = detectCompression(head);
  if (!(await beginsWithHeader(content, size, compression, options.signal))) return { kind: 'other' };
  const file = join(options.temporary, `archive-${randomUUID()}.tar`);
  try {
    await writePlain(content, size, compression, file, options);
    // Few builds unpack anything.
    const { scanTar } = await import('./scan-tar.ts');
    const entries = await scanTar(file, options.name, options.limits ?? defaultArchiveLimits, options.signal);
    return { kind: 'archive', entries, file };
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  }
}

/** The bytes of an entry's content, opened so that no symlink and no device is read. */
export function readContent(content: EntryContent, size: number): Readable {
  if (content.kind === 'bytes') return Readable.from([content.bytes], { objectMode: false });
  if (content.kind === 'range') {
    if (content.segments) return Readable.from(sparsePieces(content, size), { objectMode: false });
    return size === 0 ? Readable.from([]) : readPiece(content.file, content.offset, size);
  }
  const fd = openFileBeneath(content.root, content.path);
  if (fd === undefined) throw contextUnreadable(content.path, 'it is no regular file any more');
  return createReadStream('', { fd, highWaterMark, start: 0 });
}

function readPiece(file: string, start: number, length: number): Readable {
  return createReadStream(file, { start, end: start + length - 1, highWaterMark });
}

/** Stored bytes where they belong, zeros between them. */
async function* sparsePieces(
  { file, offset, segments = [] }: Extract<EntryContent, { kind: 'range' }>,
  size: number,
): AsyncGenerator<Uint8Array> {
  let from = offset;
  let at = 0;
  for (const { position, length } of segments) {
    yield* zeros(position - at);
    yield* readPiece(file, from, length);
    from += length;
    at = position + length;
  }
  yield* zeros(size - at);
}

function* zeros(count: number): Generator<Uint8Array> {
  const piece = Buffer.alloc(Math.min(count, highWaterMark));
  for (let left = count; left > 0; left -= piece.length) yield piece.subarray(0, left);
}

const blockSize = 512;
const highWaterMark = 256 * 1024;

async function firstBytes(source: AsyncIterable<Uint8Array>, count: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of source) {
    chunks.push(chunk);
    length += chunk.byteLength;
    if (length >= count) break;
  }
  return Buffer.concat(chunks).subarray(0, count);
}

async function beginsWithHeader(
  content: EntryContent,
  size: number,
  compression: FileCompression,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    return isTarHeader(await firstBytes(decompress(readContent(content, size), compression, signal), blockSize));
  } catch (error) {
    throwIfAborted(signal);
    if (error instanceof TsbuildError) throw error;
    // Damaged from the start (Z_DATA_ERROR, Z_BUF_ERROR, a program's exit status): a file like any other.
    return false;
  }
}

/** POSIX pax: the checksum is the sum of the header's bytes, its own field counted as spaces. */
export function isTarHeader(block: Uint8Array): boolean {
  if (block.byteLength < blockSize) return false;
  const field = Buffer.from(block.subarray(148, 156))
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trim();
  if (!/^[0-7]{1,8}$/.test(field)) return false;
  let unsigned = 0;
  let signed = 0;
  for (const [index, byte] of block.subarray(0, blockSize).entries()) {
    const value = index >= 148 && index < 156 ? 0x20 : byte;
    unsigned += value;
    // Some old programs summed signed characters.
    signed += value > 127 ? value - 256 : value;
  }
  const sum = Number.parseInt(field, 8);
  return sum === unsigned || sum === signed;
}

async function writePlain(
  content: EntryContent,
  size: number,
  compression: FileCompression,
  file: string,
  options: ReadArchiveOptions,
): Promise<void> {
  const limits = options.limits ?? defaultArchiveLimits;
  const target: FileHandle = await open(file, 'wx', 0o600);
  let written = 0;
  try {
    for await (const chunk of decompress(readContent(content, size), compression, options.signal)) {
      throwIfAborted(options.signal);
      written += chunk.byteLength;
      if (written > limits.bytes || (written > limits.ratioFrom && written > limits.ratio * size)) {
        throw new TsbuildError({
          code: 'archive-too-large',
          message: `${options.name} (${size} bytes) unpacks to more than ${Math.floor(written / 2 ** 20)} MiB`,
          hint: 'If this is no decompression bomb, unpack it yourself and copy the directory.',
        });
      }
      await target.appendFile(chunk);
    }
  } catch (cause) {
    throwIfAborted(options.signal);
    if (cause instanceof TsbuildError) throw cause;
    throw new TsbuildError({
      code: 'archive-invalid',
      message: `${options.name} is damaged: ${cause instanceof Error ? cause.message : 'it cannot be decompressed'}`,
      hint: 'Make the archive again.',
      cause,
    });
  } finally {
    await target.close();
  }
}
