/**
 * The compressed form of a layer: made when somebody needs it, by all workers at once, and remembered per diff ID,
 * algorithm and level.
 * Invariants: a layer that already comes in the form asked for passes through untouched; no more than a few segments are
 * in memory; and the result is only remembered when the input was verified.
 */

import { setMaxListeners } from 'node:events';
import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { canonicalJson, TsbuildError, throwIfAborted } from '../../core/index.ts';
import {
  type Compression,
  createDigestHasher,
  type Descriptor,
  type Digest,
  digestHex,
  digestOf,
  isDigest,
  layerCompression,
  layerMediaType,
} from '../../image/index.ts';
import { EarlyWriteback } from '../native/early-writeback.ts';
import { blobMissing, storeFailure } from '../store/failures.ts';
import type { StoreParts } from '../store/store-parts.ts';
import type { EnsureBlob, LayerRef } from '../types.ts';
import type { WorkerPool } from '../worker/pool.ts';
import { type CompressedSegment, roomFor, segmentSizes } from './compress-job.ts';
import { type FilePiece, GrowingFile } from './growing-file.ts';
import { crc32Combine, gzipHeader, gzipTrailer } from './gzip-frame.ts';

/** Changes with whatever changes the compressed bytes, so that old records are not taken for new ones. */
const formVersion = 3;

/** gzip 4: a little smaller than zlib's 4 in half its time (docs/compression.md). zstd 3 is zstd's own default. */
const defaultLevels = { gzip: 4, zstd: 3 } as const;
const highestLevels = { gzip: 9, zstd: 22 } as const;

/** One more than there are workers; the finished ones among them wait in memory for those before them. */
const segmentsUnderway = Math.min(8, Math.max(2, availableParallelism()) + 1);

export interface CompressOptions {
  readonly level?: number;
  readonly signal: AbortSignal;
  /** Fetches the layer when no form of it is in the store. */
  readonly ensure?: EnsureBlob;
}

/** @throws TsbuildError `compression-unavailable`, `compression-level-invalid`, `blob-missing`, `blob-damaged` */
export async function compressLayer(
  parts: StoreParts,
  layer: LayerRef,
  compression: Compression,
  options: CompressOptions,
): Promise<Descriptor> {
  if (layerCompression(layer.blob.mediaType) === compression) return layer.blob;
  // Nobody to ask: whoever needs the bytes says that they are not there.
  const ensure: EnsureBlob = options.ensure ?? (async () => {});
  const chain = { ensure, signal: options.signal };
  if (compression === 'uncompressed') {
    await parts.bytes.uncompressed(layer, chain);
    return describeFile(parts, layer.diffId, compression);
  }
  const level = checkedLevel(compression, options.level);
  const key = formKey(layer.diffId, compression, level);
  const known = rememberedDigest(parts.records.get('compress', key));
  if (known !== undefined && parts.blobs.has(known)) {
    await parts.pending.finished(known);
    return describeFile(parts, known, compression);
  }
  const digest = await keepForm(parts, layer.diffId, { compression, level }, options.signal, async (signal) => {
    await parts.bytes.uncompressed(layer, { ensure, signal });
    return await compressBlob(parts, layer.diffId, { compression, level, signal });
  });
  await parts.pending.finished(digest);
  return describeFile(parts, digest, compression);
}

/** A form that was written to a draft. */
interface WrittenForm {
  readonly draft: string;
  readonly digest: Digest;
}

/** Makes a form a blob and remembers it. While one is being made, whoever wants it waits for that. */
export async function keepForm(
  parts: StoreParts,
  diffId: Digest,
  { compression, level }: { readonly compression: 'gzip' | 'zstd'; readonly level: number },
  signal: AbortSignal,
  make: (signal: AbortSignal) => Promise<WrittenForm>,
): Promise<Digest> {
  const key = formKey(diffId, compression, level);
  return await parts.compressing.run(key, signal, async (inner) => {
    const { draft, digest } = await make(inner);
    parts.blobs.adopt(draft, digest);
    parts.records.put('compress', key, { diffId, digest });
    return digest;
  });
}

/** A compressed form that was made of a layer. */
export interface KnownForm {
  readonly digest: Digest;
  readonly compression: 'gzip' | 'zstd';
  readonly level: number;
}

/** The forms that are remembered; their blobs need not be here any more. */
export function knownForms(parts: Pick<StoreParts, 'records'>, diffId: Digest): readonly KnownForm[] {
  const forms: KnownForm[] = [];
  for (const compression of ['gzip', 'zstd'] as const) {
    for (let level = 0; level <= highestLevels[compression]; level += 1) {
      const digest = rememberedDigest(parts.records.get('compress', formKey(diffId, compression, level)));
      if (digest !== undefined) forms.push({ digest, compression, level });
    }
  }
  return forms;
}

function formKey(diffId: Digest, compression: 'gzip' | 'zstd', level: number): string {
  return digestHex(digestOf(canonicalJson([formVersion, diffId, compression, level])));
}

interface FormOptions {
  readonly compression: 'gzip' | 'zstd';
  readonly level: number;
  readonly signal: AbortSignal;
}

async function compressBlob(parts: StoreParts, diffId: Digest, options: FormOptions): Promise<WrittenForm> {
  if (statSync(parts.blobs.path(diffId), { throwIfNoEntry: false }) === undefined) throw blobMissing(diffId);
  using file = GrowingFile.complete(parts.blobs.path(diffId));
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  // Workers read the file out of order, so its digest is checked beside them.
  const verified = parts.blobs.isTrusted(diffId) ? Promise.resolve() : verify(parts, diffId, file.size, signal);
  const written = writeForm(parts, file, { ...options, signal });
  try {
    const [form] = await Promise.all([written, verified]);
    return form;
  } catch (error) {
    stop.abort(error);
    const [form] = await Promise.allSettled([written, verified]);
    if (form.status === 'fulfilled') parts.blobs.discard(form.value.draft);
    throw error;
  }
}

async function verify(parts: StoreParts, digest: Digest, size: number, signal: AbortSignal): Promise<void> {
  const blob = { mediaType: layerMediaType('uncompressed'), digest, size };
  for await (const _chunk of await parts.blobs.open(blob, signal));
}

interface Underway {
  readonly length: number;
  readonly room: SharedArrayBuffer;
  readonly segment: Promise<CompressedSegment>;
}

/** Compresses a file into a draft. Segments are compressed in any order and written in theirs; nothing stays of a failure. */
export async function writeForm(parts: StoreParts, file: GrowingFile, options: FormOptions): Promise<WrittenForm> {
  const draft = parts.blobs.draft();
  try {
    const pool = await parts.pool.get();
    return { draft, digest: await writeSegments(pool, file, draft, options) };
  } catch (error) {
    parts.blobs.discard(draft);
    throw error;
  }
}

/** Resolves to the digest of what was written. */
async function writeSegments(
  pool: WorkerPool,
  file: GrowingFile,
  draft: string,
  { compression, level, signal }: FormOptions,
): Promise<Digest> {
  const hasher = createDigestHasher();
  const output = await openDraft(draft);
  const writeback = new EarlyWriteback(output.fd);
  let written = 0;
  const write = async (bytes: Uint8Array): Promise<void> => {
    hasher.update(bytes);
    try {
      await output.writeFile(bytes);
    } catch (error) {
      throw storeFailure(error, `cannot write ${draft}`);
    }
    written += bytes.byteLength;
    writeback.reached(written);
  };
  // One listener per segment that is underway is no leak.
  setMaxListeners(0, signal);
  // The same memory again and again: of new buffers for every segment, megabytes would wait for the garbage collector.
  const rooms: SharedArrayBuffer[] = [];
  const start = (piece: FilePiece): Underway => {
    const room = rooms.pop() ?? new SharedArrayBuffer(roomFor(compression));
    const { fd, path } = file;
    const segment = pool.run('compressFile', { fd, file: path, ...piece, compression, level, room }, signal);
    segment.catch(() => {
      // Thrown when its turn comes; after a failure of an earlier one nobody asks.
    });
    return { length: piece.length, room, segment };
  };
  const underway: Underway[] = [];
  try {
    if (compression === 'gzip') await write(gzipHeader);
    let crc = 0;
    for (let next = 0; ; ) {
      while (underway.length < segmentsUnderway) {
        const piece = file.piece(next, segmentSizes[compression]);
        if (piece === undefined) break;
        underway.push(start(piece));
        next += 1;
      }
      const first = underway.shift();
      if (first === undefined && file.isComplete) break;
      if (first === undefined) {
        await file.more();
        continue;
      }
      const segment = await first.segment;
      throwIfAborted(signal);
      crc = crc32Combine(crc, segment.crc, first.length);
      await write(new Uint8Array(first.room, segment.offset, segment.length));
      rooms.push(first.room);
    }
    if (compression === 'gzip') await write(gzipTrailer(crc, file.size));
  } finally {
    // They read the file until they have ended.
    await Promise.allSettled(underway.map(({ segment }) => segment));
    await output.close();
  }
  return hasher.digest();
}

/** @throws TsbuildError `compression-level-invalid` */
export function checkedLevel(compression: 'gzip' | 'zstd', level: number | undefined): number {
  if (level === undefined || (compression === 'zstd' && level === 0)) return defaultLevels[compression];
  if (hasLevel(compression, level)) return level;
  const highest = highestLevels[compression];
  throw new TsbuildError({
    code: 'compression-level-invalid',
    message: `${level} is not a compression level of ${compression}`,
    hint: `Choose a level from ${compression === 'gzip' ? 0 : 1} to ${highest}.`,
  });
}

export function hasLevel(compression: 'gzip' | 'zstd', level = 0): boolean {
  return Number.isInteger(level) && level >= 0 && level <= highestLevels[compression];
}

function rememberedDigest(record: unknown): Digest | undefined {
  const digest = (record as { readonly digest?: unknown } | null | undefined)?.digest;
  return isDigest(digest) ? digest : undefined;
}

function describeFile(parts: StoreParts, digest: Digest, compression: Compression): Descriptor {
  return { mediaType: layerMediaType(compression), digest, size: sizeOf(parts.blobs.path(digest), digest) };
}

function sizeOf(path: string, digest: Digest): number {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) throw blobMissing(digest);
  return status.size;
}

async function openDraft(path: string): Promise<Awaited<ReturnType<typeof open>>> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (error) {
    throw storeFailure(error, `cannot write ${path}`);
  }
}
