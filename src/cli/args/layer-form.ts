/** `compression`, `compression-level` and `force-compression`: the form in which layers leave the store. */
import type { Compression } from '../../image/index.ts';
import { invalidFlag, oneOf, parseBoolean } from './flag.ts';

export interface LayerFormFields {
  readonly compression?: Compression;
  readonly compressionLevel?: number;
  readonly forceCompression?: boolean;
}

/** @param text the value of a key, undefined where it is not given. @throws TsbuildError `flag-invalid` */
export function parseLayerForm(flag: string, text: (key: string) => string | undefined): LayerFormFields {
  const [compression, level, force] = ['compression', 'compression-level', 'force-compression'].map(text);
  return {
    ...(compression !== undefined && { compression: compressionOf(flag, compression) }),
    ...(level !== undefined && { compressionLevel: levelOf(flag, level, compression) }),
    ...(force !== undefined && { forceCompression: parseBoolean(`${flag} force-compression`, force) }),
  };
}

function compressionOf(flag: string, value: string): Compression {
  if (value === 'estargz') {
    throw invalidFlag(`${flag} compression`, 'estargz is not supported', 'Use gzip: every engine reads it.');
  }
  return oneOf(`${flag} compression`, value, ['uncompressed', 'gzip', 'zstd']);
}

function levelOf(flag: string, value: string, compression: string | undefined): number {
  const most = compression === 'zstd' ? 22 : 9;
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (number <= most) return number;
  throw invalidFlag(`${flag} compression-level`, `${JSON.stringify(value)} is not 0 to ${most}`);
}
