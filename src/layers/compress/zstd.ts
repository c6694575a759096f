/**
 * zstd compression of one buffer into one frame with its content size and checksum (RFC 8878). zstd-napi comes first: its
 * version is pinned, so every Node version gives the same bytes; where it could not be installed, node:zlib (from 22.15).
 */
import { createRequire } from 'node:module';
import * as zlib from 'node:zlib';
import { TsbuildError } from '../../core/index.ts';

export type ZstdCompress = (input: Uint8Array, level: number) => Uint8Array;

const require = createRequire(import.meta.url);

interface ZstdNapi {
  readonly Compressor: new () => {
    setParameters(parameters: { compressionLevel: number; checksumFlag: boolean; contentSizeFlag: boolean }): void;
    compress(input: Uint8Array): Uint8Array;
  };
}

/** The part of node:zlib that Node 20 lacks. */
interface ZstdOfNode {
  readonly zstdCompressSync?: (input: Uint8Array, options: { readonly params: Record<number, number> }) => Uint8Array;
  readonly constants: {
    readonly ZSTD_c_compressionLevel?: number;
    readonly ZSTD_c_checksumFlag?: number;
    readonly ZSTD_c_contentSizeFlag?: number;
  };
}

/**
 * What this thread compresses with, once it was asked to. State of a module, against the rule, for a native context takes
 * megabytes that only the garbage collector gives back: a new one per frame made memory grow with the layer.
 */
const ofThisThread: { compress?: ZstdCompress } = {};

/** @throws TsbuildError `compression-unavailable` */
export function zstdCompressor(): ZstdCompress {
  const compress = ofThisThread.compress ?? fromNapi() ?? fromNode(zlib as unknown as ZstdOfNode);
  if (compress) {
    ofThisThread.compress = compress;
    return compress;
  }
  throw new TsbuildError({
    code: 'compression-unavailable',
    message: 'this installation cannot compress with zstd',
    hint: 'Use Node 22.15 or later, install the optional package zstd-napi, or choose compression=gzip.',
  });
}

function fromNapi(): ZstdCompress | undefined {
  let napi: ZstdNapi;
  try {
    napi = require('zstd-napi');
  } catch {
    // Any failure to load an optional native package means it is not there.
    return undefined;
  }
  const compressor = new napi.Compressor();
  return (input, level) => {
    compressor.setParameters({ compressionLevel: level, checksumFlag: true, contentSizeFlag: true });
    return new Uint8Array(compressor.compress(input));
  };
}

function fromNode({ zstdCompressSync, constants }: ZstdOfNode): ZstdCompress | undefined {
  const { ZSTD_c_compressionLevel: levelKey, ZSTD_c_checksumFlag: checksumKey } = constants;
  if (zstdCompressSync === undefined || levelKey === undefined || checksumKey === undefined) return undefined;
  return (input, level) => new Uint8Array(zstdCompressSync(input, { params: { [levelKey]: level, [checksumKey]: 1 } }));
}
