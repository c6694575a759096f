/**
 * Content digests (OCI image spec, descriptor.md "Digests"). A Digest is made only by `parseDigest` or by hashing, so
 * one that exists is safe to use as a file name. tsbuild writes sha256 and also reads sha512.
 */
import { createHash } from 'node:crypto';
import { TsbuildError } from '../core/index.ts';

export type Digest = `${'sha256' | 'sha512'}:${string}` & { readonly __brand: 'Digest' };

const pattern = /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export function isDigest(text: unknown): text is Digest {
  return typeof text === 'string' && pattern.test(text);
}

/** @throws TsbuildError `digest-invalid` */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new TsbuildError({
    code: 'digest-invalid',
    message: `${JSON.stringify(text.slice(0, 160))} is not a digest`,
    hint: 'Write a digest as sha256: and 64 lower-case hexadecimal digits.',
  });
}

export function digestAlgorithm(digest: Digest): 'sha256' | 'sha512' {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The hexadecimal part. */
export function digestHex(digest: Digest): string {
  return digest.slice(7);
}

/** Twelve hexadecimal digits, as docker shows IDs. */
export function shortDigest(digest: Digest): string {
  return digestHex(digest).slice(0, 12);
}

export function digestOf(content: Uint8Array | string): Digest {
  return `sha256:${createHash('sha256').update(content).digest('hex')}` as Digest;
}

/** Loads what hashing needs, which takes longer than to hash a manifest: for whoever waits for one. */
export function prepareHashing(): void {
  createHash('sha256');
}

export interface DigestHasher {
  update(chunk: Uint8Array): void;
  /** May be called once. */
  digest(): Digest;
}

export function createDigestHasher(algorithm: 'sha256' | 'sha512' = 'sha256'): DigestHasher {
  const hash = createHash(algorithm);
  return {
    update: (chunk) => void hash.update(chunk),
    digest: () => `${algorithm}:${hash.digest('hex')}` as Digest,
  };
}
