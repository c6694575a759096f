import type { BuildRequest } from '../types.ts';

/**
 * The mtime of directories that tsbuild itself makes (WORKDIR, missing parents of a COPY), in nanoseconds: the time of
 * SOURCE_DATE_EPOCH, else 1970, so that building twice gives the same layer.
 */
export function createdMtime(request: BuildRequest): bigint {
  return BigInt(request.sourceDateEpoch ?? 0) * 1_000_000_000n;
}

/**
 * With rewrite-timestamp, nothing in a new layer is younger than SOURCE_DATE_EPOCH: the bound in nanoseconds. Layers of
 * the base are never rewritten.
 */
export function latestMtime({ exports, sourceDateEpoch }: BuildRequest): { latestMtime?: bigint } {
  if (sourceDateEpoch === undefined || !exports.some((one) => one.rewriteTimestamp)) return {};
  return { latestMtime: BigInt(sourceDateEpoch) * 1_000_000_000n };
}
