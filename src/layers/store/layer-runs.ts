/**
 * Which layers of a chain are so small, and so many in a row, that they are worth being merged into one snapshot:
 * overlayfs looks into every layer for each name, so a step on a hundred small layers takes longer than one on few.
 * Invariant: a longer chain has the runs of the shorter one it begins with, so what was merged stays of use.
 */
import type { LayerRef } from '../types.ts';

/** Of a chain: the layers from `start` up to, but without, `end`. */
export interface LayerRun {
  readonly start: number;
  readonly end: number;
}

/** Layers. A run ends at the longest, or before a layer that is not small. */
const longest = 16;
/** Fewer cost more to merge than they cost the steps above. */
const shortest = 8;
/** Bytes of a layer's blob, compressed or not. */
const small = 64 * 1024;

export function smallLayerRuns(chain: readonly LayerRef[]): readonly LayerRun[] {
  const runs: LayerRun[] = [];
  let start = 0;
  for (const [i, { blob }] of chain.entries()) {
    const isSmall = blob.size <= small;
    const end = isSmall ? i + 1 : i;
    if (isSmall && end - start < longest) continue;
    if (end - start >= shortest) runs.push({ start, end });
    start = i + 1;
  }
  return runs;
}
