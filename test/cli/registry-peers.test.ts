/**
 * One real registry between tsbuild and the other tools: they read what we pushed, we read what they pushed. What an image
 * holds is compared as files on disk.
 */
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Buildah, buildahMissing, startBuildah } from '../support/buildah.ts';
import { mustRun } from '../support/command.ts';
import { type Dockerd, dockerdMissing, startDockerd } from '../support/dockerd.ts';
import { describeTree, treeDifferences } from '../support/layer-trees.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { requirement } from '../support/requirement.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { mustTsbuild } from '../support/tsbuild.ts';

const missing = dockerdMissing() ?? (await buildahMissing());
requirement('a Docker engine and buildah', missing);

let folder: TemporaryFolder;
let registry: TestRegistry;
const name = (path: string) => `${registry.host}/${path}`;
const remote = (path: string) => `docker://${name(path)}`;
const must = (...args: string[]) => mustTsbuild(args, { home: folder.join('home'), cwd: folder.path });
const skopeo = (...args: string[]) => mustRun('skopeo', ['--insecure-policy', 'copy', '-q', ...args]);

beforeAll(async () => {
  folder = temporaryFolder('registry-peers', 0o711);
  registry = await startRegistry();
  const tree = folder.join('context/tree');
  mkdirSync(folder.join('context/tree/dir/empty'), { recursive: true });
  writeFileSync(`${tree}/dir/file`, 'hello\n');
  writeFileSync(`${tree}/dir/größe`, 'x'.repeat(300_000));
  writeFileSync(`${tree}/tool`, '#!/bin/sh\n');
  chmodSync(`${tree}/tool`, 0o4755);
  chmodSync(`${tree}/dir/empty`, 0o1777);
  symlinkSync('dir/file', `${tree}/link`);
  writeFileSync(
    folder.join('context/Dockerfile'),
    'FROM scratch\nCOPY tree/ /\nCOPY tree/dir/file /again\nLABEL made=here\nENTRYPOINT ["/tool"]\n',
  );
  cpSync(tree, folder.join('expected'), { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  // cp takes no care of these bits.
  chmodSync(folder.join('expected/tool'), 0o4755);
  chmodSync(folder.join('expected/dir/empty'), 0o1777);
  copyFileSync(`${tree}/dir/file`, folder.join('expected/again'));
  await must('-q', '-t', name('ours:1'), '--push', 'context');
});
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

function expectTree(found: string, expected = folder.join('expected')): void {
  const [left, right] = [describeTree(expected), describeTree(found)];
  for (const lines of [left, right]) lines.delete('');
  expect(treeDifferences(left, right, ['mtime'])).toEqual([]);
}

/** Pulls into a store of its own, so that every byte comes from the registry, and unpacks. */
async function expectWePull(path: string, expected?: string, host = registry.host): Promise<void> {
  const image = `${host}/${path}`;
  const home = folder.join(`home-${path.replaceAll(/\W/g, '-')}`);
  const fresh = (...args: string[]) => mustTsbuild(args, { home, cwd: folder.path });
  await fresh('pull', '-q', image);
  const out = `${home}-tree`;
  mkdirSync(`${home}-context`);
  writeFileSync(`${home}-context/Dockerfile`, `FROM ${image}\n`);
  await fresh('-q', '-o', `type=local,dest=${out}`, `${home}-context`);
  expectTree(out, expected);
  expect((await fresh('inspect', '-f', '{{.Config.Labels.made}} {{json .Config.Entrypoint}}', image)).text).toBe(
    'here ["/tool"]\n',
  );
  expect((await fresh('store', 'check')).text).toContain('Nothing is damaged');
}

describe('what we pushed', () => {
  test('skopeo copies, and umoci unpacks', async () => {
    const layout = folder.join('skopeo-layout');
    await skopeo('--src-tls-verify=false', remote('ours:1'), `oci:${layout}:1`);
    await mustRun('umoci', ['unpack', '--image', `${layout}:1`, folder.join('bundle')]);
    expectTree(folder.join('bundle/rootfs'));
    const { text } = await mustRun('skopeo', ['inspect', '--tls-verify=false', '--config', remote('ours:1')]);
    expect(JSON.parse(text).config).toMatchObject({ Labels: { made: 'here' }, Entrypoint: ['/tool'] });
  });

  test('a client that believes nothing but digests reads: manifest, configuration, layers and their diff IDs', async () => {
    const get = async (path: string, headers: Record<string, string> = {}) => {
      const response = await fetch(`${registry.url}/v2/ours/${path}`, { headers });
      expect(response.status, path).toBe(200);
      return { headers: response.headers, bytes: Buffer.from(await response.arrayBuffer()) };
    };
    const sha256 = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    const oci = 'application/vnd.oci.image.manifest.v1+json';
    const { headers, bytes } = await get('manifests/1', { accept: oci });
    expect([headers.get('content-type'), headers.get('docker-content-digest')]).toEqual([oci, sha256(bytes)]);
    const manifest = JSON.parse(bytes.toString()) as Record<'config', Blob> & { mediaType: string; layers: Blob[] };
    interface Blob {
      readonly mediaType: string;
      readonly digest: string;
      readonly size: number;
    }
    const blob = async ({ digest, size }: Blob) => {
      const content = (await get(`blobs/${digest}`)).bytes;
      expect([sha256(content), content.byteLength]).toEqual([digest, size]);
      return content;
    };
    const config = JSON.parse((await blob(manifest.config)).toString()) as { rootfs: { diff_ids: string[] } };
    expect([manifest.mediaType, manifest.config.mediaType]).toEqual([oci, 'application/vnd.oci.image.config.v1+json']);
    const diffIds = await Promise.all(manifest.layers.map(async (layer) => sha256(gunzipSync(await blob(layer)))));
    expect(diffIds).toEqual(config.rootfs.diff_ids);
    expect(diffIds).toHaveLength(2);
  });
});

test('we read what umoci made, changed and deleted, and skopeo pushed', async () => {
  const layout = folder.join('umoci-layout');
  const umoci = (...args: string[]) => mustRun('umoci', args);
  await umoci('init', '--layout', layout);
  await umoci('new', '--image', `${layout}:1`);
  await umoci('unpack', '--image', `${layout}:1`, folder.join('work'));
  await mustRun('cp', ['-a', `${folder.join('expected')}/.`, folder.join('work/rootfs')]);
  await umoci('repack', '--image', `${layout}:1`, folder.join('work'));
  // A second layer: a file and a directory are gone, another file is new.
  rmSync(folder.join('work/rootfs/again'));
  rmSync(folder.join('work/rootfs/dir'), { recursive: true });
  writeFileSync(folder.join('work/rootfs/new'), 'new\n');
  await umoci('repack', '--refresh-bundle', '--image', `${layout}:1`, folder.join('work'));
  await umoci('config', '--image', `${layout}:1`, '--config.label', 'made=here', '--config.entrypoint', '/tool');
  await skopeo('--dest-tls-verify=false', `oci:${layout}:1`, remote('umoci:1'));
  await expectWePull('umoci:1', folder.join('work/rootfs'));
});

describe.skipIf(missing !== undefined)('between us and', () => {
  let engine: Dockerd;
  let buildah: Buildah;
  beforeAll(async () => {
    [engine, buildah] = await Promise.all([startDockerd(), startBuildah()]);
  });
  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]();
    await buildah?.[Symbol.asyncDispose]();
  });

  const inBuildah = (...args: string[]) => {
    const [program = '', ...rest] = buildah.command(args);
    return mustRun(program, rest);
  };

  test('docker, what it built and pushed comes to us, and what we pushed to it', async () => {
    const built = await engine.build(name('docker:1'), folder.join('context'), []);
    expect(built.code, built.stderr).toBe(0);
    await engine.docker(['push', '-q', name('docker:1')]);
    await expectWePull('docker:1');
    await engine.docker(['pull', '-q', name('ours:1')]);
    const made = (await engine.docker(['create', name('ours:1')])).text.trim();
    await engine.docker(['export', '-o', folder.join('docker.tar'), made]);
    await engine.docker(['rm', made]);
    mkdirSync(folder.join('from-docker'));
    await mustRun('tar', ['-xpf', folder.join('docker.tar'), '-C', folder.join('from-docker')]);
    // The engine's own, made for a container to be.
    for (const own of ['.dockerenv', 'dev', 'proc', 'sys', 'etc']) {
      rmSync(folder.join('from-docker', own), { recursive: true, force: true });
    }
    expectTree(folder.join('from-docker'));
  });

  test.each(['oci', 'v2s2'])(
    'buildah, what it built and pushed as %s comes to us, and what we pushed to it',
    async (format) => {
      const image = `localhost/buildah-${format}`;
      const built = await buildah.build(image, folder.join('context'), []);
      expect(built.code, built.stderr).toBe(0);
      await inBuildah('push', '-q', '--tls-verify=false', '--format', format, image, remote(`buildah-${format}:1`));
      // Its COPY takes setuid bits off.
      const expected = folder.join(`expected-${format}`);
      await mustRun('cp', ['-a', folder.join('expected'), expected]);
      chmodSync(`${expected}/tool`, 0o755);
      await expectWePull(`buildah-${format}:1`, expected);
      await inBuildah('pull', '-q', '--tls-verify=false', remote('ours:1'));
      const container = (await inBuildah('from', '--pull-never', name('ours:1'))).text.trim();
      const root = (await inBuildah('mount', container)).text.trim();
      expect(existsSync(root)).toBe(true);
      expectTree(root);
      await inBuildah('umount', container);
      await inBuildah('rm', container);
    },
  );

  test.each([
    ['in docker format', ['--format', 'v2s2'], 'application/vnd.docker.image.rootfs.diff.tar.gzip'],
    [
      'with zstd layers',
      ['--format', 'oci', '--dest-compress-format', 'zstd'],
      'application/vnd.oci.image.layer.v1.tar+zstd',
    ],
  ])('skopeo, what it pushed %s comes to us', async (how, flags, mediaType) => {
    const path = `skopeo-${how.replaceAll(' ', '-')}:1`;
    // Uncompressed in between: what has a form already keeps it.
    const plain = `dir:${folder.join(`plain-${how.replaceAll(' ', '-')}`)}`;
    await skopeo('--src-tls-verify=false', '--dest-decompress', remote('ours:1'), plain);
    // Elsewhere: in a registry where it knows a layer in another form it takes that.
    await using other = await startRegistry();
    await skopeo('--dest-tls-verify=false', ...flags, plain, `docker://${other.host}/${path}`);
    const { layers } = JSON.parse((await must('manifest', `${other.host}/${path}`)).text) as {
      layers: { mediaType: string }[];
    };
    expect(layers.map((layer) => layer.mediaType)).toEqual([mediaType, mediaType]);
    await expectWePull(path, undefined, other.host);
  });
});
