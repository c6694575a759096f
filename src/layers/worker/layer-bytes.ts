/**
 * The uncompressed bytes of a layer's blob, in chunks, hashed as they pass.
 * Invariants: memory stays flat whatever the blob holds; a blob whose bytes do not have the diff ID is an error after
 * the last chunk, so what was made of the chunks must stay a draft until then.
 *
 * gzip: zlib-sync inflates in place, without a turn of the event loop per chunk. It stops at the end of the first
 * member without saying where that was; node:zlib goes on with the members after it, and does everything where
 * zlib-sync is not installed. zstd: node:zlib from Node 22.15 on, else zstd-napi.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { TsbuildError } from '../../core/index.ts';
import { type Compression, createDigestHasher, type Digest, digestAlgorithm } from '../../image/index.ts';
import { tarError } from '../tar/tar-errors.ts';
import { defaultTarLimits, type TarLimits } from '../tar/tar-limits.ts';
import type { JobControl } from './job-control.ts';
import { layerFailure } from './system-error.ts';

export interface LayerBlob {
  /** Path of the blob's file. */
  readonly blob: string;
  readonly compression: Compression;
  readonly diffId: Digest;
}

/** Each is at most this long when it is read, and inflates to at most a thousand times as much with gzip. */
const readSize = 1024 * 1024;
/** zlib-sync gives all that one push makes at once: 64 KiB make at most 66 MB. */
const pushSize = 64 * 1024;
const require = createRequire(import.meta.url);

/**
 * Hands over all bytes; a chunk is valid during the call only.
 * @throws TsbuildError `layer-damaged`, `tar-limit`, `compression-unavailable`, and what `take` throws
 */
export async function readLayerBytes(
  input: LayerBlob,
  control: JobControl,
  take: (chunk: Buffer) => void,
  limits: TarLimits = defaultTarLimits,
): Promise<{ readonly size: number }> {
  const file = new BlobFile(input.blob);
  const hash = createDigestHasher(digestAlgorithm(input.diffId));
  let size = 0;
  const pass = (chunk: Buffer) => {
    control.throwIfAborted();
    size += chunk.length;
    if (size > limits.ratioFrom && size > limits.ratio * file.size) {
      tarError('tar-limit', `${file.size} bytes of the layer ${input.diffId} unpack to more than ${size}`);
    }
    hash.update(chunk);
    take(chunk);
  };
  try {
    if (input.compression === 'gzip') await gunzip(file, pass);
    else if (input.compression === 'zstd') await unzstd(file, pass);
    else for (let chunk = file.next(readSize); chunk; chunk = file.next(readSize)) pass(chunk);
  } catch (error) {
    throw layerFailure(error, `reading the layer ${input.diffId}`);
  } finally {
    file.close();
  }
  const found = hash.digest();
  if (found !== input.diffId) {
    throw damaged(`the layer ${input.diffId} has the diff ID ${found}: its image configuration does not fit it`);
  }
  return { size };
}

class BlobFile {
  readonly size: number;
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafe(readSize);
  #at = 0;

  constructor(path: string) {
    this.#fd = openSync(path, 'r');
    this.size = fstatSync(this.#fd).size;
  }

  /** The next bytes, at most `limit`; they are overwritten by the next call. */
  next(limit: number): Buffer | undefined {
    const count = readSync(this.#fd, this.#buffer, 0, Math.min(limit, readSize), this.#at);
    if (count === 0) return undefined;
    this.#at += count;
    return this.#buffer.subarray(0, count);
  }

  isAtEnd(): boolean {
    return this.#at >= this.size;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

async function gunzip(file: BlobFile, pass: (chunk: Buffer) => void): Promise<void> {
  const inflater = zlibSync();
  const rest = inflater ? inflateFirstMember(inflater, file, pass) : Buffer.alloc(0);
  if (rest === undefined) return;
  const options = { chunkSize: readSize };
  await through(zlib.createGunzip(options), file, rest, pass);
}

/**
 * @returns what follows the first member in the piece it ended in, when there may be more members; undefined when it
 *   was all
 */
function inflateFirstMember(
  { Inflate, Z_SYNC_FLUSH, Z_STREAM_END }: ZlibSync,
  file: BlobFile,
  pass: (chunk: Buffer) => void,
): Buffer | undefined {
  // 31: a gzip header and trailer are expected, and the trailer's checksum verified.
  const inflate = new Inflate({ windowBits: 31, chunkSize: 4 * pushSize });
  let size = 0;
  for (let piece = file.next(pushSize); piece; piece = file.next(pushSize)) {
    inflate.push(piece, Z_SYNC_FLUSH);
    if (inflate.err < 0 && inflate.err !== bufferError) throw damaged(`its gzip data is damaged: ${inflate.msg}`);
    const result = inflate.result;
    if (result && result.length > 0) {
      size += result.length;
      pass(result);
    }
    if (inflate.err === Z_STREAM_END) return afterMember(piece, size, file.isAtEnd());
  }
  throw damaged('its gzip data ends too early');
}

/** Z_BUF_ERROR: no more could be done with the input so far, which is no failure. */
const bufferError = -5;

/** A member ends with its size modulo 2^32; the next begins with 1f 8b 08, or only zeros follow. */
function afterMember(piece: Buffer, size: number, last: boolean): Buffer | undefined {
  const trailer = Buffer.alloc(4);
  trailer.writeUInt32LE(size % 2 ** 32);
  for (let at = piece.indexOf(trailer); at >= 0; at = piece.indexOf(trailer, at + 1)) {
    const rest = piece.subarray(at + 4);
    if (rest.length === 0) return last ? undefined : Buffer.alloc(0);
    if (rest[0] === 0x1f && (rest.length < 2 || rest[1] === 0x8b)) return Buffer.from(rest);
    if (last && rest.every((byte) => byte === 0)) return undefined;
  }
  // What follows is no gzip member: gzip(1) and Go's reader differ on it, so the diff ID decides.
  return undefined;
}

async function unzstd(file: BlobFile, pass: (chunk: Buffer) => void): Promise<void> {
  const create = (zlib as unknown as NodeZstd).createZstdDecompress;
  if (create) return through(create({ chunkSize: readSize }), file, Buffer.alloc(0), pass);
  const napi = zstdNapi();
  if (!napi) {
    throw new TsbuildError({
      code: 'compression-unavailable',
      message: 'this layer is compressed with zstd, which this installation cannot read',
      hint: 'Use Node 22.15 or later, or install the optional package zstd-napi.',
    });
  }
  const context = new napi.DCtx();
  const out = Buffer.allocUnsafe(readSize);
  let expected = 0;
  for (let piece = file.next(readSize); piece; piece = file.next(readSize)) {
    for (let at = 0, full = false; at < piece.length || full; ) {
      const [left, produced, consumed] = zstdStep(() => context.decompressStream(out, piece.subarray(at)));
      if (produced > 0) pass(out.subarray(0, produced));
      at += consumed;
      expected = left;
      // A full buffer may mean that more is ready.
      full = produced === out.length;
      if (produced === 0 && consumed === 0) break;
    }
  }
  if (expected !== 0) throw damaged('its zstd data ends too early');
}

function zstdStep<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw damaged(`its zstd data is damaged: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Pumps the rest of the file through a stream of node:zlib, never more than a chunk ahead of `pass`. */
async function through(
  transform: Transform,
  file: BlobFile,
  first: Buffer,
  pass: (chunk: Buffer) => void,
): Promise<void> {
  function* pieces(): Generator<Buffer> {
    if (first.length > 0) yield first;
    // The stream keeps what it was given until it is done with it: a copy, for the file's buffer is used again.
    for (let piece = file.next(readSize); piece; piece = file.next(readSize)) yield Buffer.from(piece);
  }
  const input = pieces();
  const feed = () => {
    for (;;) {
      const piece = input.next();
      if (piece.done) {
        transform.end();
        return;
      }
      if (!transform.write(piece.value)) {
        transform.once('drain', feed);
        return;
      }
    }
  };
  feed();
  try {
    for await (const chunk of transform) pass(chunk as Buffer);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code.startsWith('Z_') || code.startsWith('ZSTD_')) {
      throw damaged(`its compressed data is damaged: ${(error as Error).message}`);
    }
    throw error;
  }
}

interface ZlibSync {
  readonly Inflate: new (options: {
    windowBits: number;
    chunkSize: number;
  }) => {
    push(data: Buffer, flush: number): void;
    readonly err: number;
    readonly msg: string | null;
    readonly result: Buffer | null;
  };
  readonly Z_SYNC_FLUSH: number;
  readonly Z_STREAM_END: number;
}

interface NodeZstd {
  readonly createZstdDecompress?: (options: { readonly chunkSize: number }) => Transform;
}

interface ZstdNapi {
  readonly DCtx: new () => {
    decompressStream(out: Uint8Array, input: Uint8Array): [left: number, produced: number, consumed: number];
  };
}

function zlibSync(): ZlibSync | undefined {
  return optional<ZlibSync>('zlib-sync');
}

function zstdNapi(): ZstdNapi | undefined {
  return optional<ZstdNapi>('zstd-napi/binding');
}

/** Any failure to load an optional native package means that it is not there: it may be built for another Node. */
function optional<T>(name: string): T | undefined {
  try {
    return require(name) as T;
  } catch {
    return undefined;
  }
}

function damaged(what: string): TsbuildError {
  return new TsbuildError({
    code: 'layer-damaged',
    message: what,
    hint: 'Remove the image and pull it again; if it stays so, its publisher must push it again.',
  });
}
