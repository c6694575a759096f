/**
 * Opens a tar of images: an OCI archive, what `docker save` writes, or both in one; plain or compressed.
 * Invariant: the archive is read where it lies when it is a plain tar file; a stream, and what is compressed, is written
 * once to a draft, uncompressed, because images are read out of order. The draft goes with the archive.
 */
import { createReadStream, createWriteStream, statSync } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isTsbuildError, systemErrorCode, TsbuildError, throwIfAborted } from '../../core/index.ts';
import { storeFailure } from '../store/failures.ts';
import { archiveInvalid } from './archive-errors.ts';
import { tarFiles } from './archive-files.ts';
import { decompressor, longestMagic } from './decompressor.ts';
import { readDockerArchive } from './docker-archive.ts';
import { type ImageArchive, imageArchive } from './image-archive.ts';
import { readLayoutIndex } from './open-oci-layout.ts';

export interface OpenArchiveOptions {
  readonly signal: AbortSignal;
  /** A path where nothing is yet, on a disk with room for the whole archive: `LocalStore.draftPath()`. */
  readonly draft: string;
  /** How to name a stream in errors. Default: `the archive`. */
  readonly name?: string;
}

/** @throws TsbuildError `image-archive-invalid`, `tar-*`, `store-full` */
export async function openArchive(
  input: string | AsyncIterable<Uint8Array>,
  options: OpenArchiveOptions,
): Promise<ImageArchive> {
  const place = typeof input === 'string' ? input : (options.name ?? 'the archive');
  const isPlainFile = typeof input === 'string' && (await isUncompressedFile(input));
  const file = isPlainFile ? input : options.draft;
  if (!isPlainFile) await spool(typeof input === 'string' ? createReadStream(input) : input, place, options);
  const remove = async (): Promise<void> => {
    if (!isPlainFile) await unlink(file);
  };
  try {
    return await readArchive(file, place, remove, options.signal);
  } catch (error) {
    await remove();
    if (isTsbuildError(error) && error.code === 'tar-invalid') throw archiveInvalid(place, error.message, error);
    throw error;
  }
}

async function readArchive(
  file: string,
  place: string,
  remove: () => Promise<void>,
  signal: AbortSignal,
): Promise<ImageArchive> {
  const files = await tarFiles(file, place);
  try {
    const listed = await readLayoutIndex(files, signal);
    const docker = await readDockerArchive(files, listed ?? [], signal);
    if (listed === undefined && docker === undefined) {
      throw archiveInvalid(place, 'it has neither a manifest.json nor an oci-layout file');
    }
    const archive = imageArchive({
      name: `archive ${place}`,
      files,
      entries: docker?.entries ?? listed ?? [],
      places: docker?.places ?? new Map(),
    });
    const close = async (): Promise<void> => {
      await archive[Symbol.asyncDispose]();
      await remove();
    };
    return { ...archive, [Symbol.asyncDispose]: close };
  } catch (error) {
    await files[Symbol.asyncDispose]();
    throw error;
  }
}

async function isUncompressedFile(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'r');
    try {
      if (!(await file.stat()).isFile()) return false;
      const magic = Buffer.alloc(longestMagic);
      await file.read(magic, 0, magic.length, 0);
      return decompressor(magic) === undefined;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') {
      throw new TsbuildError({
        code: 'image-archive-invalid',
        message: `there is no archive ${path}`,
        hint: 'Check the path.',
        cause: error,
      });
    }
    throw isTsbuildError(error) ? error : archiveInvalid(path, 'it cannot be read', error);
  }
}

async function spool(
  chunks: AsyncIterable<Uint8Array>,
  place: string,
  { draft, signal }: OpenArchiveOptions,
): Promise<void> {
  const iterator = chunks[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < longestMagic) {
    const next = await iterator.next();
    if (next.done) break;
    head = Buffer.concat([head, next.value]);
  }
  const all = async function* (): AsyncGenerator<Uint8Array> {
    yield head;
    for (;;) {
      const next = await iterator.next();
      if (next.done) return;
      yield next.value;
    }
  };
  const decompress = decompressor(head);
  const output = createWriteStream(draft, { flags: 'wx', mode: 0o600, highWaterMark: 1024 * 1024 });
  try {
    const source = Readable.from(all(), { objectMode: false });
    await (decompress ? pipeline(source, decompress(), output, { signal }) : pipeline(source, output, { signal }));
  } catch (error) {
    if (statSync(draft, { throwIfNoEntry: false })) await unlink(draft);
    throwIfAborted(signal);
    if (systemErrorCode(error)?.startsWith('E')) throw storeFailure(error, `cannot write ${draft}`);
    throw isTsbuildError(error) ? error : archiveInvalid(place, 'its compressed bytes are damaged', error);
  }
}
