/** The job that hashes contents of entries: files of a build context, mostly. */
import { closeSync, fstatSync, readSync } from 'node:fs';
import { TsbuildError } from '../../core/index.ts';
import { createDigestHasher, type Digest, type DigestHasher, digestOf } from '../../image/index.ts';
import type { EntryContent } from '../types.ts';
import { ContentReader } from './content-reader.ts';
import type { JobControl } from './job-control.ts';
import { layerFailure } from './system-error.ts';

export interface HashContentsInput {
  readonly contents: readonly EntryContent[];
}

const chunkSize = 256 * 1024;
const zeros = Buffer.alloc(64 * 1024);

export function hashContents(input: HashContentsInput, control: JobControl): { readonly digests: readonly Digest[] } {
  const reader = new ContentReader();
  const buffer = Buffer.allocUnsafe(chunkSize);
  try {
    return { digests: input.contents.map((content) => hashOf(content, reader, buffer, control)) };
  } catch (error) {
    throw layerFailure(error, 'hashing files');
  } finally {
    reader.close();
  }
}

function hashOf(content: EntryContent, reader: ContentReader, buffer: Buffer, control: JobControl): Digest {
  control.throwIfAborted();
  if (content.kind === 'bytes') return digestOf(content.bytes);
  const hasher = createDigestHasher();
  if (content.kind === 'range') {
    hashRange(content, reader.file(content.file), hasher, buffer, control);
    return hasher.digest();
  }
  const fd = reader.open(content);
  try {
    const { size } = fstatSync(fd);
    reader.verifyUnchanged(content, fd, size, hashPiece(fd, 0, size, hasher, buffer, control));
  } finally {
    closeSync(fd);
  }
  return hasher.digest();
}

function hashRange(
  content: Extract<EntryContent, { kind: 'range' }>,
  fd: number,
  hasher: DigestHasher,
  buffer: Buffer,
  control: JobControl,
): void {
  const { size } = content;
  if (size === undefined) {
    throw new TsbuildError({ code: 'internal', message: 'a range without a size cannot be hashed' });
  }
  let from = content.offset;
  let at = 0;
  for (const { position, length } of content.segments ?? [{ position: 0, length: size }]) {
    hashZeros(position - at, hasher);
    if (hashPiece(fd, from, length, hasher, buffer, control) !== length) {
      throw new TsbuildError({
        code: 'layer-damaged',
        message: `${content.file} ends before the content of an entry does`,
        hint: 'Run the command again; the layer is fetched or built anew.',
      });
    }
    from += length;
    at = position + length;
  }
  hashZeros(size - at, hasher);
}

/** @returns the bytes there were */
function hashPiece(
  fd: number,
  from: number,
  size: number,
  hasher: DigestHasher,
  buffer: Buffer,
  control: JobControl,
): number {
  let done = 0;
  while (done < size) {
    control.throwIfAborted();
    const count = readSync(fd, buffer, 0, Math.min(buffer.length, size - done), from + done);
    if (count === 0) break;
    hasher.update(buffer.subarray(0, count));
    done += count;
  }
  return done;
}

function hashZeros(count: number, hasher: DigestHasher): void {
  for (let left = count; left > 0; left -= zeros.length) hasher.update(zeros.subarray(0, Math.min(left, zeros.length)));
}
