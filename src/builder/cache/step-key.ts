/**
 * What decides whether a step must run again: the key is the sha256 of canonical JSON of everything that can change its
 * layer, and of nothing else (no title, no file times, no proxy variables, no secret values).
 * Invariant: a change of what a key means raises `keyVersion`; golden keys in the tests make such a change visible.
 */
import { canonicalJson } from '../../core/index.ts';
import { type Digest, digestHex, digestOf, formatPlatform, type Platform } from '../../image/index.ts';

export const keyVersion = 1;

export interface KeyParts {
  /** The operation with its text fully expanded. */
  readonly operation: unknown;
  /** Chain ID of what lies beneath; null: nothing, or the step does not depend on it (COPY --link). */
  readonly below: Digest | null;
  /** Digests of what the step reads, in the order of the operation. */
  readonly inputs: readonly (Digest | null)[];
  readonly platform: Platform;
  /** File times in the layer are clamped to this (nanoseconds). */
  readonly latestMtime?: bigint;
}

/** 64 hexadecimal digits. */
export function stepKey(parts: KeyParts): string {
  const { operation, below, inputs, platform, latestMtime } = parts;
  const document = {
    version: keyVersion,
    operation,
    below,
    inputs,
    platform: formatPlatform(platform),
    latestMtime: latestMtime?.toString(),
  };
  return digestHex(digestOf(canonicalJson(document)));
}
