import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/image/index.ts';
import { diffUpper } from '../../../src/layers/diff/diff-upper.ts';
import { applyBytes, layerOf, neverAborted } from '../../support/layer-jobs.ts';
import {
  bash,
  describeTree,
  everyKindOfChange,
  everyKindOfEntry,
  type TreeLine,
  temporaryFolder,
  treeDifferences,
  whyNoOverlay,
} from '../../support/layer-trees.ts';
import { mountedTree, overlayStep } from '../../support/overlay-steps.ts';
import { requirement } from '../../support/requirement.ts';

let folder: ReturnType<typeof temporaryFolder>;
let source: string;
let original: Map<string, TreeLine>;
let layer: ReturnType<typeof layerOf>;

/** The root directory is no entry of a diff. */
function belowRoot(tree: Map<string, TreeLine>): Map<string, TreeLine> {
  return new Map([...tree].filter(([path]) => path !== ''));
}

beforeAll(() => {
  folder = temporaryFolder('round-trip');
  source = join(folder.path, 'source');
  mkdirSync(source);
  bash(everyKindOfEntry, source);
  original = belowRoot(describeTree(source));
  layer = layerOf(folder.path, source);
});

afterAll(() => folder.remove());

describe('a tree with one of everything', () => {
  test('has what it should have', () => {
    expect(original.size).toBeGreaterThan(40);
    expect(new Set([...original.values()].map((line) => line.kind))).toEqual(
      new Set(['file', 'directory', 'symlink', 'fifo', 'char', 'block']),
    );
    expect([...original.values()].filter((line) => line.xattrs !== '').length).toBeGreaterThan(5);
  });

  test('comes out of our tar the same with GNU tar', () => {
    const out = join(folder.path, 'gnu');
    mkdirSync(out);
    bash(`tar --xattrs --xattrs-include='*' --numeric-owner -xpf "$1" 2>&1`, out, layer.file);
    expect(treeDifferences(original, belowRoot(describeTree(out)))).toEqual([]);
  });

  test('comes out of our tar the same with bsdtar', () => {
    const out = join(folder.path, 'bsd');
    mkdirSync(out);
    bash('LC_ALL=C.UTF-8 bsdtar --numeric-owner --xattrs --acls -xpf "$1" 2>&1', out, layer.file);
    const differences = treeDifferences(original, belowRoot(describeTree(out)));
    // libarchive reads -1.75 as -1 + 0.75, and takes no ACL that comes as an xattr.
    expect(differences.filter((line) => !/^"plain\/(empty": mtime|block-and-one": xattrs)/.test(line))).toEqual([]);
  });

  test('comes out of our tar the same with our own apply, plain, gzip and zstd', async () => {
    const plain = readFileSync(layer.file);
    bash('gzip -kn layer.tar; zstd -q -k layer.tar', folder.path);
    for (const [compression, file] of [
      ['uncompressed', plain],
      ['gzip', readFileSync(`${layer.file}.gz`)],
      ['zstd', readFileSync(`${layer.file}.zst`)],
    ] as const) {
      const { target, notes } = await applyBytes(folder.path, `own-${compression}`, file, {
        compression,
        diffId: layer.diffId,
      });
      expect(notes).toEqual([]);
      expect(treeDifferences(original, belowRoot(describeTree(target)))).toEqual([]);
    }
  });

  test('gives the same bytes when it is packed again, wherever it lies and in whatever order it was made', async () => {
    const { target } = await applyBytes(folder.path, 'again', readFileSync(layer.file));
    expect(layerOf(folder.path, target, 'again').diffId).toBe(layer.diffId);
  });

  test('comes out of our tar the same with umoci', async () => {
    const out = join(folder.path, 'umoci');
    mkdirSync(out);
    bash(
      `umoci init --layout image && umoci new --image image:t && umoci raw add-layer --image image:t "$1" && umoci raw unpack --image image:t rootfs 2>&1`,
      out,
      layer.file,
    );
    const differences = treeDifferences(original, belowRoot(describeTree(join(out, 'rootfs'))));
    // Go's archive/tar takes a PAX record without a value for a deletion: an empty xattr is lost there.
    expect(differences.filter((line) => !line.includes('user.empty'))).toEqual([]);
  });
});

const noOverlay = whyNoOverlay();
requirement('overlayfs', noOverlay);

test.skipIf(noOverlay)(
  'the layers of two steps come out with umoci, and with our own apply, as the steps left them',
  { timeout: 240_000 },
  async () => {
    const place = temporaryFolder('steps');
    try {
      const step = overlayStep(place.path, [everyKindOfEntry], everyKindOfChange);
      const below = layerOf(place.path, step.lowers[0] ?? '', 'below');
      const above = join(place.path, 'above.tar');
      const input = { upper: step.upper, lowers: step.lowers, draft: above, xattrPrefix: 'trusted.' } as const;
      diffUpper(input, neverAborted);
      bash(
        `umoci init --layout image && umoci new --image image:t
       umoci raw add-layer --image image:t "$1"; umoci raw add-layer --image image:t "$2"
       umoci raw unpack --image image:t rootfs 2>&1`,
        place.path,
        below.file,
        above,
      );
      const expected = belowRoot(step.merged);
      expect(expected.size).toBeGreaterThan(340);
      const found = treeDifferences(expected, belowRoot(describeTree(join(place.path, 'rootfs'))));
      // As above: an empty xattr is lost in Go's archive/tar.
      expect(found.filter((line) => !line.includes('user.empty'))).toEqual([]);
      const lower = await applyBytes(place.path, 'first', readFileSync(below.file));
      const upper = await applyBytes(place.path, 'second', readFileSync(above), { lowers: [lower.target] });
      const shown = mountedTree(place.path, 'shown', [upper.target, lower.target]);
      expect(treeDifferences(expected, belowRoot(shown))).toEqual([]);
    } finally {
      place.remove();
    }
  },
);

test('paths deeper than 4,096 bytes and 100,000 names in one directory come out of our tar the same with GNU tar', {
  timeout: 240_000,
}, () => {
  const place = temporaryFolder('deep');
  try {
    const name = 'd'.repeat(200);
    mkdirSync(join(place.path, 'source'));
    bash(
      `mkdir many; (cd many; seq -f 'name-%.0f' 100000 | xargs touch -d '2020-01-02T03:04:05.678901234Z'; echo one > name-1)
       for i in {1..22}; do mkdir ${name}; cd -P ${name}; done; echo deep > file; ln file hard; touch -d @5.25 file`,
      join(place.path, 'source'),
    );
    const { file } = layerOf(place.path, join(place.path, 'source'));
    // GNU tar takes no name as long as this; from within the directories above it does.
    const listed = bash(
      `tar -tf "$1" | awk '{ print length($0) }' | sort -n | tail -1; tar -tf "$1" | wc -l`,
      place.path,
      file,
    );
    expect(listed).toBe(`${22 * 201 + 4}\n100025\n`);
    bash(
      `mkdir out; tar -C out --numeric-owner -xpf "$1" many; diff -r --no-dereference source/many out/many
       diff <(cd source/many; stat -c '%n %y %a %u %g' *) <(cd out/many; stat -c '%n %y %a %u %g' *)
       tar --transform 's,${name}/,,g' -C out --numeric-owner -xpf "$1" --wildcards '*/file' '*/hard'
       test "$(cat out/file)" = deep; test "$(stat -c '%h %Y' out/hard)" = '2 5'`,
      place.path,
      file,
    );
  } finally {
    bash('rm -rf source out', place.path);
    place.remove();
  }
});

const bsdtar = 'LC_ALL=C.UTF-8 bsdtar';

describe('archives of other tools unpack as those tools unpack them', () => {
  const makers: readonly [name: string, command: string, ignore: readonly (keyof TreeLine)[]][] = [
    ['GNU tar, posix', `tar --format=posix --xattrs --xattrs-include='*' --numeric-owner -cf "$1" .`, []],
    [
      'GNU tar, posix, sparse 1.0',
      `tar --format=posix -S --sparse-version=1.0 --numeric-owner --xattrs --xattrs-include='*' -cf "$1" .`,
      [],
    ],
    [
      'GNU tar, posix, sparse 0.1',
      `tar --format=posix -S --sparse-version=0.1 --numeric-owner --xattrs --xattrs-include='*' -cf "$1" .`,
      [],
    ],
    [
      'GNU tar, posix, sparse 0.0',
      `tar --format=posix -S --sparse-version=0.0 --numeric-owner --xattrs --xattrs-include='*' -cf "$1" .`,
      [],
    ],
    ['GNU tar, gnu, old sparse', 'tar --format=gnu -S --numeric-owner -cf "$1" .', ['mtime', 'xattrs']],
    // libarchive writes -1.75 as -2.25.
    ['bsdtar, pax', `${bsdtar} --format=pax --numeric-owner --no-acls --xattrs -cf "$1" .`, ['xattrs', 'mtime']],
    ['bsdtar, gnutar', `${bsdtar} --format=gnutar --numeric-owner --no-acls -cf "$1" .`, ['mtime', 'xattrs']],
  ];

  test.each(makers)('%s', async (name, command, ignore) => {
    const file = join(folder.path, `${name.replace(/\W+/g, '-')}.tar`);
    bash(`${command} 2>&1`, source, file);
    const { target } = await applyBytes(folder.path, `of-${name.replace(/\W+/g, '-')}`, readFileSync(file));
    expect(treeDifferences(original, belowRoot(describeTree(target)), ignore)).toEqual([]);
  });

  test('old V7 archives', async () => {
    const old = join(folder.path, 'old');
    mkdirSync(old);
    bash('mkdir d; echo a > d/file; ln -s file d/link; ln d/file d/hard', old);
    const file = join(folder.path, 'v7.tar');
    bash('tar --format=v7 --numeric-owner -cf "$1" .', old, file);
    const { target } = await applyBytes(folder.path, 'of-v7', readFileSync(file));
    expect(treeDifferences(belowRoot(describeTree(old)), belowRoot(describeTree(target)), ['mtime'])).toEqual([]);
  });

  test('with several gzip members, or padding after the last', async () => {
    const whole = readFileSync(layer.file);
    const cuts = [0, 100_000, 800_001, whole.length];
    const members = Buffer.concat(cuts.slice(1).map((end, i) => gzipSync(whole.subarray(cuts[i], end))));
    const forms = { members, padded: Buffer.concat([members, Buffer.alloc(1000)]) };
    for (const [name, bytes] of Object.entries(forms)) {
      const { target } = await applyBytes(folder.path, `gz-${name}`, bytes, {
        compression: 'gzip',
        diffId: digestOf(whole),
      });
      expect(treeDifferences(original, belowRoot(describeTree(target)))).toEqual([]);
    }
  });
});
