/** Layers other engines made, against what those engines show of them: byte comparison, owners and attributes included. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/image/index.ts';
import { applyPlain } from '../../../src/layers/worker/blob-jobs.ts';
import { busyboxImage } from '../../support/base-images.ts';
import { buildahMissing, startBuildah } from '../../support/buildah.ts';
import { mustRun } from '../../support/command.ts';
import { dockerdMissing, startDockerd } from '../../support/dockerd.ts';
import { writeDockerArchive, writeOciLayout } from '../../support/image-files.ts';
import { applyBytes, neverAborted } from '../../support/layer-jobs.ts';
import {
  bash,
  bashWithMounts,
  describeTree,
  everyKindOfChange,
  everyKindOfEntry,
  type TreeLine,
  treeDifferences,
  whyNoOverlay,
} from '../../support/layer-trees.ts';
import { mountedTree } from '../../support/overlay-steps.ts';
import { requirement } from '../../support/requirement.ts';
import { type TemporaryFolder, temporaryFolder } from '../../support/temporary-folder.ts';

let folder: TemporaryFolder;
beforeEach(() => {
  folder = temporaryFolder('foreign', 0o755);
});
afterEach(() => folder[Symbol.asyncDispose]());

const below = (tree: Map<string, TreeLine>) => new Map([...tree].filter(([path]) => path.startsWith('tree/')));

/** A context whose Dockerfile adds one of everything and then everyKindOfChange it. */
function context(): string {
  const [path, tree] = [folder.join('context'), folder.join('context/tree')];
  mkdirSync(tree, { recursive: true });
  bash(everyKindOfEntry, tree);
  bash(`tar --xattrs --xattrs-include='*' --format=posix --numeric-owner -cf ../tree.tar . && rm -r ../tree`, tree);
  writeFileSync(join(path, 'change'), `cd /tree\n${everyKindOfChange}`);
  writeFileSync(join(path, 'Dockerfile'), 'FROM base\nCOPY change /\nADD tree.tar /tree/\nRUN sh -eux /change\n');
  return path;
}

function baseArchive(): string {
  const archive = folder.join('base.tar');
  writeDockerArchive(archive, busyboxImage());
  return archive;
}

/** The layers unpacked by us in both ways, beside what the engine that made them shows. */
async function differences(layers: readonly Buffer[], shown: Map<string, TreeLine>): Promise<readonly string[]> {
  const lowers: string[] = [];
  const plain = folder.join('plain');
  mkdirSync(plain);
  for (const [i, layer] of layers.entries()) {
    const { target, notes } = await applyBytes(folder.path, `layer${i}`, layer, { lowers });
    lowers.unshift(target);
    const blob = `${target}.blob`;
    const again = await applyPlain(
      { blob, compression: 'uncompressed', diffId: digestOf(layer), target: plain },
      neverAborted,
    );
    expect([...notes, ...again.notes]).toEqual([]);
  }
  const expected = below(shown);
  expect(expected.size).toBeGreaterThan(340);
  const found = [
    ...treeDifferences(expected, below(mountedTree(folder.path, 'shown', lowers))),
    ...treeDifferences(expected, below(describeTree(plain))).map((line) => `plain: ${line}`),
  ];
  // Docker and buildah set times before 1970 to 1970.
  return found.filter((line) => !/"tree\/(plain\/empty|capable|capable-too)": mtime is -\d+, should be 0$/.test(line));
}

const noOverlay = whyNoOverlay();
const noDocker = dockerdMissing() ?? noOverlay;
const noBuildah = (await buildahMissing()) ?? noOverlay;
requirement('overlayfs with dockerd', noDocker);
requirement('overlayfs with buildah', noBuildah);

describe.skipIf(noDocker)('layers of docker unpack to what docker itself shows', { timeout: 240_000 }, () => {
  test.each([
    ['BuildKit', '1'],
    ['its classic builder', '0'],
  ])('made by %s', async (_, buildkit) => {
    const archive = folder.join('made.tar');
    const layers = await (async () => {
      await using maker = await startDockerd();
      await maker.load(baseArchive());
      const args = ['build', '--network', 'host', '-t', 'made', context()];
      await maker.docker(args, { env: { DOCKER_BUILDKIT: buildkit } });
      await maker.docker(['save', '-o', archive, 'made']);
      return (await maker.read('made')).layers;
    })();
    // Another engine: the one that made the layers keeps what they were made from.
    await using engine = await startDockerd();
    await engine.load(archive);
    const { text } = await engine.docker(['inspect', '-f', '{{json .GraphDriver}}', 'made']);
    const driver = JSON.parse(text) as { Name: string; Data: Readonly<Record<string, string>> };
    expect(driver.Name).toBe('overlay2');
    const its = [driver.Data.UpperDir ?? '', ...(driver.Data.LowerDir ?? '').split(':')];
    const shown = mountedTree(folder.path, 'its', its);
    expect(await differences(layers, shown)).toEqual([]);
  });
});

describe.skipIf(noBuildah)('layers of buildah unpack to what buildah itself shows', { timeout: 240_000 }, () => {
  test('made by its commit', async () => {
    await using buildah = await startBuildah();
    await buildah.load(baseArchive(), 'base');
    writeFileSync(folder.join('fill'), everyKindOfEntry);
    writeFileSync(folder.join('change'), everyKindOfChange);
    const own = buildah.command([]).map((word) => `'${word}'`);
    // Its mounts live in a namespace of their own, and end with it.
    bashWithMounts(
      `b() { ${own.join(' ')} "$@"; }; here=$PWD
       c=$(b from --pull-never base); m=$(b mount "$c"); mkdir "$m/tree"; (cd "$m/tree"; bash -eu "$here/fill")
       b umount "$c"; b commit -q "$c" one; b rm "$c"
       c=$(b from --pull-never one); m=$(b mount "$c"); (cd "$m/tree"; bash -eu "$here/change"); b umount "$c"
       b commit -q "$c" made; b rm "$c"
       c=$(b from --pull-never made); m=$(b mount "$c"); mkdir its; cp -a "$m/." its/; b umount "$c"; b rm "$c"`,
      folder.path,
    );
    const { layers } = await buildah.read('made');
    expect(layers).toHaveLength(3);
    expect(await differences(layers, describeTree(folder.join('its')))).toEqual([]);
  });
});

describe.skipIf(noOverlay)('layers of umoci unpack to what umoci itself unpacks', { timeout: 240_000 }, () => {
  test('made by its repack', async () => {
    const tree = folder.join('bundle/rootfs/tree');
    writeOciLayout(folder.join('image'), [busyboxImage()]);
    bash('umoci unpack --image image:base bundle 2>&1', folder.path);
    mkdirSync(tree);
    // Go's archive/tar takes a PAX record without a value for a deletion: umoci cannot keep an empty attribute.
    bash(everyKindOfEntry.replace('setfattr -n user.empty plain/deep', ':'), tree);
    bash('umoci repack --image image:one bundle 2>&1', folder.path);
    bash('umoci unpack --image image:one again 2>&1', folder.path);
    bash(everyKindOfChange, folder.join('again/rootfs/tree'));
    bash('umoci repack --image image:two again 2>&1; umoci raw unpack --image image:two its 2>&1', folder.path);
    await mustRun('skopeo', ['copy', '-q', `oci:${folder.join('image')}:two`, `dir:${folder.join('dir')}`]);
    const manifest = JSON.parse(bash('cat dir/manifest.json', folder.path)) as { layers: { digest: string }[] };
    const layers = manifest.layers.map(({ digest }) => {
      bash('gzip -dc < "dir/$1" > layer', folder.path, digest.slice(7));
      return Buffer.from(bash('base64 -w0 layer', folder.path), 'base64');
    });
    expect(layers).toHaveLength(3);
    expect(await differences(layers, describeTree(folder.join('its')))).toEqual([]);
  });
});
