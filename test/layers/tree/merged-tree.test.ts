import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type BytePath, bytePathFromText, isTsbuildError } from '../../../src/core/index.ts';
import { createDigestHasher, digestOf } from '../../../src/image/index.ts';
import { mergedTree, readLayerIndex } from '../../../src/layers/tree/index.ts';
import type { EntryContent, Tree, TreeEntry } from '../../../src/layers/types.ts';
import { indexLayer } from '../../../src/layers/worker/blob-jobs.ts';
import { hashContents } from '../../../src/layers/worker/hash-contents.ts';
import { applyBytes, archiveOf, layerOf, neverAborted } from '../../support/layer-jobs.ts';
import {
  bash,
  describeTree,
  everyKindOfEntry,
  type TreeLine,
  temporaryFolder,
  treeDifferences,
  whyNoOverlay,
} from '../../support/layer-trees.ts';
import { mountedTree } from '../../support/overlay-steps.ts';
import { randomLayers } from '../../support/random-layers.ts';

const noOverlay = whyNoOverlay();

let folder: ReturnType<typeof temporaryFolder>;

beforeEach(() => {
  folder = temporaryFolder('tree');
});

afterEach(() => folder.remove());

async function treeOf(archives: readonly Buffer[]): Promise<Tree> {
  const layers = [];
  for (const [i, archive] of archives.entries()) {
    const file = join(folder.path, `tree${i}.tar`);
    const index = join(folder.path, `tree${i}.index`);
    bash('cat > "$1" < /dev/null', folder.path, file);
    const { writeFileSync } = await import('node:fs');
    writeFileSync(file, archive);
    if (!existsSync(index)) {
      const input = { blob: file, compression: 'uncompressed', diffId: digestOf(archive), draft: index } as const;
      await indexLayer(input, neverAborted);
    }
    layers.push({ index, file });
  }
  return mergedTree(layers);
}

/** A tree in the terms of one on disk. */
function describeMerged(tree: Tree): Map<string, TreeLine> {
  const lines = new Map<string, TreeLine>();
  const firstNames = new Map<number, string>();
  const visit = (entry: TreeEntry): void => {
    const { path, kind } = entry;
    if (entry.inode !== 0 && !firstNames.has(entry.inode)) firstNames.set(entry.inode, path);
    lines.set(path, {
      kind,
      mode: kind === 'symlink' ? 0o777 : entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      size: entry.size,
      mtime: entry.mtime,
      link: entry.linkTarget ?? '',
      device: entry.device ? `${entry.device.major}:${entry.device.minor}` : '',
      content: kind === 'file' ? contentDigest(entry.content, entry.size) : '',
      same: firstNames.get(entry.inode) ?? path,
      xattrs: [...(entry.xattrs ?? [])]
        .map(([name, value]) => `${name}=0x${Buffer.from(value).toString('hex')}`)
        .sort()
        .join(' '),
    });
    for (const child of tree.list(path)) visit(child);
  };
  const root = tree.lookup('' as BytePath);
  if (root) visit(root);
  return lines;
}

function contentDigest(content: EntryContent | undefined, size: number): string {
  if (size === 0) return createDigestHasher().digest().slice(7);
  if (!content) return 'no content';
  return hashContents({ contents: [content] }, neverAborted).digests[0]?.slice(7) ?? 'no digest';
}

describe('a merged tree', () => {
  test('of one layer shows what is on disk, sparse files and hardlinks included', async () => {
    const source = join(folder.path, 'source');
    mkdirSync(source);
    bash(everyKindOfEntry, source);
    bash(
      'tar --format=posix -S --sparse-version=1.0 --numeric-owner --xattrs --xattrs-include="*" -cf gnu.tar -C source .',
      folder.path,
    );
    const original = describeTree(source);
    const fromGnu = describeMerged(await treeOf([readFileSync(join(folder.path, 'gnu.tar'))]));
    expect(treeDifferences(original, fromGnu)).toEqual([]);
    bash('rm tree0.index', folder.path);
    const own = describeMerged(await treeOf([readFileSync(layerOf(folder.path, source).file)]));
    original.delete('');
    own.delete('');
    expect(treeDifferences(original, own)).toEqual([]);
  });

  test('follows symlinks inside the tree, wherever they point', async () => {
    const tree = await treeOf([
      archiveOf([
        { path: 'run', kind: 'directory', mode: 0o755 },
        { path: 'var/run', kind: 'symlink', linkTarget: '/run' },
        { path: 'a/b/up', kind: 'symlink', linkTarget: '../../../../../etc' },
        { path: 'etc/passwd', content: 'root:x:0:0' },
        { path: 'chain', kind: 'symlink', linkTarget: 'var/../a/b/up/passwd' },
        { path: 'loop', kind: 'symlink', linkTarget: 'loop' },
        { path: 'dangling', kind: 'symlink', linkTarget: 'no/such' },
      ]),
      archiveOf([{ path: 'var/run/pid', content: '42' }]),
    ]);
    const at = (text: string) => bytePathFromText(text);
    expect(tree.resolve(at('var/run/pid'))).toBe('run/pid');
    expect(tree.lookup(at('var/run/pid'))?.path).toBe('run/pid');
    expect(tree.lookup(at('run/pid'))?.size).toBe(2);
    expect(tree.resolve(at('a/b/up/passwd'))).toBe('etc/passwd');
    expect(tree.resolve(at('chain'))).toBe('etc/passwd');
    expect(tree.resolve(at('chain'), { followLast: false })).toBe('chain');
    expect(tree.resolve(at('dangling/x'))).toBe('no/such/x');
    expect(tree.resolve(at('none/at/all'))).toBe('none/at/all');
    expect(tree.lookup(at('chain'))?.kind).toBe('symlink');
    expect((await tree.readFile(at('chain'), 100))?.toString()).toBe('root:x:0:0');
    await expect(tree.readFile(at('chain'), 5)).rejects.toMatchObject({ code: 'file-too-large' });
    expect(await tree.readFile(at('run'), 100)).toBeUndefined();
    expect(await tree.readFile(at('none'), 100)).toBeUndefined();
    expect(() => tree.resolve(at('loop/x'))).toThrowError(expect.objectContaining({ code: 'path-loop' }));
    expect(tree.list(at('var/run'))).toEqual([]);
    expect(tree.list(at('run')).map((entry) => entry.path)).toEqual(['run/pid']);
  });

  test('refuses an index that is not one', () => {
    const path = join(folder.path, 'index');
    bash('echo tsbindx0 this is from another version of the program > index', folder.path);
    expect(() => readLayerIndex(path)).toThrowError(expect.objectContaining({ code: 'layer-damaged' }));
    bash(': > index', folder.path);
    expect(() => readLayerIndex(path)).toThrowError(expect.objectContaining({ code: 'layer-damaged' }));
  });
});

let runs = 0;
let refused = 0;

describe.skipIf(noOverlay)(`layers of any entries in any order${noOverlay ? ` (${noOverlay})` : ''}`, () => {
  test('make in the merged tree what the kernel shows of them unpacked', async () => {
    await fc.assert(
      fc.asyncProperty(randomLayers(3), async (steps) => {
        folder.remove();
        folder = temporaryFolder('tree');
        runs += 1;
        const archives = steps.map((entries) => archiveOf(entries));
        const outcome = await unpackAll(archives);
        if (typeof outcome === 'string') {
          refused += 1;
          await expect(treeOf(archives)).rejects.toMatchObject({ code: outcome });
          return;
        }
        expect(treeDifferences(outcome, describeMerged(await treeOf(archives)))).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  afterAll(() => {
    // The property says something only if most layers could be unpacked.
    expect(refused).toBeLessThan(runs * 0.8);
  });
});

/** The mounted result, or the code with which unpacking was refused. */
async function unpackAll(archives: readonly Buffer[]): Promise<Map<string, TreeLine> | string> {
  const lowers: string[] = [];
  for (const [i, archive] of archives.entries()) {
    try {
      const { target } = await applyBytes(folder.path, `layer${i}`, archive, { lowers });
      lowers.unshift(target);
    } catch (error) {
      if (isTsbuildError(error)) return error.code;
      throw error;
    }
  }
  return mountedTree(folder.path, 'shown', lowers);
}
