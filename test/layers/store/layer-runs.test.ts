import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf, layerMediaType } from '../../../src/image/index.ts';
import { smallLayerRuns } from '../../../src/layers/store/layer-runs.ts';
import type { LayerRef } from '../../../src/layers/types.ts';

const large = 10_000_000;

function chain(sizes: readonly number[]): LayerRef[] {
  return sizes.map((size, i) => ({
    diffId: digestOf(`${i}`),
    blob: { mediaType: layerMediaType('uncompressed'), digest: digestOf(`${i}`), size },
  }));
}

describe('runs of small layers', () => {
  test('are sixteen layers long, or end before a large one', () => {
    expect(smallLayerRuns(chain(Array(15).fill(1)))).toEqual([]);
    expect(smallLayerRuns(chain(Array(40).fill(1)))).toEqual([
      { start: 0, end: 16 },
      { start: 16, end: 32 },
    ]);
    expect(smallLayerRuns(chain([large, ...Array(8).fill(1), large, ...Array(7).fill(1), large]))).toEqual([
      { start: 1, end: 9 },
    ]);
  });

  test('of a chain stay as they are when it grows', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(1, 1, 1, 1, 1, 1, 1, 1, large), { maxLength: 130 }),
        fc.nat(),
        (sizes, at) => {
          const whole = smallLayerRuns(chain(sizes));
          const shorter = smallLayerRuns(chain(sizes.slice(0, at % (sizes.length + 1))));
          expect(whole.slice(0, shorter.length)).toEqual(shorter);
          for (const { start, end } of whole) expect(sizes.slice(start, end).every((size) => size === 1)).toBe(true);
        },
      ),
    );
  });
});
