/**
 * Chooses how to decompress a whole archive by its first bytes. Layers are decompressed in the workers; this is for
 * `tsbuild load` of what somebody piped through gzip or zstd.
 */
import { createRequire } from 'node:module';
import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { TsbuildError } from '../../core/index.ts';

const require = createRequire(import.meta.url);
/** At node's default of 16 KiB, inflating takes twice as long. */
const chunkSize = 1024 * 1024;

/** Bytes that tell the format: those of xz. */
export const longestMagic = 6;

/** @param head at least `longestMagic` bytes, unless there are fewer  @returns undefined for bytes that are not compressed */
export function decompressor(head: Uint8Array): (() => Transform) | undefined {
  const magic = Buffer.from(head.subarray(0, longestMagic)).toString('hex');
  if (magic.startsWith('1f8b')) return () => zlib.createGunzip({ chunkSize });
  if (magic.startsWith('28b52ffd')) return createZstdDecompress;
  if (magic.startsWith('fd377a585a00')) return () => unsupported('xz', 'unxz');
  if (magic.startsWith('425a68')) return () => unsupported('bzip2', 'bunzip2');
  return undefined;
}

function unsupported(format: string, tool: string): never {
  throw new TsbuildError({
    code: 'compression-unavailable',
    message: `the archive is compressed with ${format}`,
    hint: `Decompress it first, e.g. ${tool} < ARCHIVE | tsbuild load.`,
  });
}

function createZstdDecompress(): Transform {
  const node = zlib as unknown as { readonly createZstdDecompress?: (options: object) => Transform };
  if (node.createZstdDecompress) return node.createZstdDecompress({ chunkSize });
  try {
    const { DecompressStream } = require('zstd-napi') as { readonly DecompressStream: new () => Transform };
    return new DecompressStream();
  } catch (cause) {
    throw new TsbuildError({
      code: 'compression-unavailable',
      message: 'this installation cannot decompress zstd',
      hint: 'Use Node 22.15 or later, install the optional package zstd-napi, or decompress the archive first.',
      cause,
    });
  }
}
