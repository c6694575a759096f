/** Descriptors (OCI image spec, descriptor.md): what a piece of content is, which bytes, how many. */
import { TsbuildError } from '../core/index.ts';
import { type Digest, digestOf, isDigest } from './digest.ts';
import { type Platform, parsePlatformObject } from './platform.ts';

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly platform?: Platform;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly artifactType?: string;
  /** Where a foreign (non-distributable) layer may be had instead. Never followed with credentials. */
  readonly urls?: readonly string[];
  /** Base64 of the content itself, for small blobs. */
  readonly data?: string;
}

/** The descriptor of bytes in memory. */
export function describe(mediaType: string, content: Uint8Array): Descriptor {
  return { mediaType, digest: digestOf(content), size: content.byteLength };
}

/**
 * A descriptor out of untrusted JSON; unknown members are dropped.
 * @param where names the place for the error, e.g. `layers[2]`
 * @throws TsbuildError `manifest-invalid`
 */
export function parseDescriptor(value: unknown, where: string): Descriptor {
  const fail = (what: string): never => {
    throw new TsbuildError({
      code: 'manifest-invalid',
      message: `${where} ${what}`,
      hint: 'The document is damaged or was written by a faulty tool; push the image again.',
    });
  };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail('is not an object');
  const raw = value as Record<string, unknown>;
  const { mediaType, digest, size } = raw;
  if (typeof mediaType !== 'string' || mediaType === '') return fail('has no mediaType');
  if (!isDigest(digest)) return fail(`has no valid digest (${JSON.stringify(digest)?.slice(0, 100)})`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return fail('has no valid size');
  return {
    mediaType,
    digest,
    size,
    ...(raw.platform !== undefined && { platform: parsePlatformObject(raw.platform, `${where}.platform`) }),
    ...(raw.annotations !== undefined && { annotations: parseStringMap(raw.annotations, `${where}.annotations`) }),
    ...(typeof raw.artifactType === 'string' && { artifactType: raw.artifactType }),
    ...(Array.isArray(raw.urls) && { urls: raw.urls.filter((url): url is string => typeof url === 'string') }),
    ...(typeof raw.data === 'string' && { data: raw.data }),
  };
}

/** @throws TsbuildError `manifest-invalid` */
export function parseStringMap(value: unknown, where: string): Record<string, string> {
  const bad = typeof value !== 'object' || value === null || Array.isArray(value);
  if (bad || Object.values(value).some((member) => typeof member !== 'string')) {
    throw new TsbuildError({ code: 'manifest-invalid', message: `${where} is not a map of strings` });
  }
  return { ...(value as Record<string, string>) };
}
