import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isTsbuildError } from '../../../src/core/index.ts';
import { mergeLowers } from '../../../src/layers/apply/merge-lowers.ts';
import { type ArchiveEntry, applyBytes, archiveOf } from '../../support/layer-jobs.ts';
import {
  bash,
  everyKindOfChange,
  everyKindOfEntry,
  temporaryFolder,
  treeDifferences,
} from '../../support/layer-trees.ts';
import { mountedTree, overlayStep } from '../../support/overlay-steps.ts';
import { randomLayers } from '../../support/random-layers.ts';

const plenty = { entries: 10_000, bytes: 100_000_000 };

let folder: ReturnType<typeof temporaryFolder>;

beforeEach(() => {
  folder = temporaryFolder('merge');
});

afterEach(() => folder.remove());

function merged(lowers: readonly string[], beneath: readonly string[], most = plenty): string | undefined {
  const target = join(folder.path, 'merged-layers');
  mkdirSync(target);
  return mergeLowers({ lowers, beneath, target, xattrPrefix: 'trusted.', most }) ? target : undefined;
}

/** Undefined for what cannot be unpacked. */
async function unpacked(name: string, entries: readonly ArchiveEntry[], lowers: readonly string[]) {
  try {
    return (await applyBytes(folder.path, name, archiveOf(entries), { lowers })).target;
  } catch (error) {
    if (isTsbuildError(error)) return undefined;
    throw error;
  }
}

describe('layers merged into one', () => {
  test('show over what lies beneath them what they showed one by one, whatever they do to it', async () => {
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(randomLayers(8), async (layers) => {
        folder.remove();
        folder = temporaryFolder('merge');
        const lowers: string[] = [];
        for (const [i, entries] of layers.entries()) {
          const layer = await unpacked(`layer${i}`, entries, lowers);
          if (layer !== undefined) lowers.unshift(layer);
        }
        const beneath = lowers.splice(-1);
        if (lowers.length < 2) return;
        compared += 1;
        const above = merged(lowers, beneath);
        if (above === undefined) throw new Error('not merged');
        const apart = mountedTree(folder.path, 'apart', [...lowers, ...beneath]);
        expect(treeDifferences(apart, mountedTree(folder.path, 'together', [above, ...beneath]))).toEqual([]);
      }),
      { numRuns: 40 },
    );
    expect(compared).toBeGreaterThan(10);
  });

  test('keep every kind of entry, and every kind of change to those beneath', () => {
    const { lowers, upper } = overlayStep(
      folder.path,
      ['mkdir below; echo 1 > below/file', everyKindOfEntry],
      everyKindOfChange,
    );
    const apart = mountedTree(folder.path, 'apart', [upper, ...lowers]);
    const [above, base] = lowers;
    if (above === undefined || base === undefined) throw new Error('no lowers');
    const change = merged([upper, above], [base]);
    expect(treeDifferences(apart, mountedTree(folder.path, 'together', [change ?? '', base]))).toEqual([]);
    bash('rm -rf merged-layers', folder.path);
    const whole = merged([upper, ...lowers], []);
    expect(treeDifferences(apart, mountedTree(folder.path, 'whole', [whole ?? '']))).toEqual([]);
  });

  test('are left alone when they hold more entries, or more bytes, than is worth copying', () => {
    const lowers = ['upper', 'lower'].map((name) => {
      bash(`mkdir ${name}; for i in 1 2 3 4; do echo 12345 > ${name}/${name}$i; done`, folder.path);
      return join(folder.path, name);
    });
    const again = (most: typeof plenty) => {
      bash('rm -rf merged-layers', folder.path);
      return merged(lowers, [], most) !== undefined;
    };
    expect(again({ entries: 8, bytes: 48 })).toBe(true);
    expect(again({ entries: 7, bytes: 48 })).toBe(false);
    expect(again({ entries: 8, bytes: 47 })).toBe(false);
    bash('truncate -s 1T upper/sparse', folder.path);
    expect(again(plenty)).toBe(false);
  });
});
