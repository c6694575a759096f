/**
 * What an image claims about itself never spares a step (security.md 23): not its history, not its name; and whatever of
 * a base's configuration a step can see is part of the step's key.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { busyboxImage, file } from '../support/base-images.ts';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { type Manifest, sha256, writeOciLayout } from '../support/image-files.ts';
import { writeTar } from '../support/plain-tar.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { flatten } from '../support/tree-compare.ts';

let work: BuildWorkspace;
let registry: TestRegistry;
beforeAll(async () => {
  work = buildWorkspace('cache-poisoning');
  registry = await startRegistry();
});
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await work?.[Symbol.asyncDispose]();
});

const textOf = (image: string, path: string, home?: string) => flatten(work.image(image, home)).get(path)?.text;

describe('an image with the history of the Dockerfile and other files', () => {
  const source = { Dockerfile: 'FROM base\nRUN echo honest >/made\nCOPY data /data\n', data: 'honest\n' };
  let context: string;
  let poison: string;

  /** The honest image with other layers of its own, and everything else as it was. */
  beforeAll(async () => {
    context = work.context('victim', source);
    await work.build(context, ['-t', 'app:1'], { home: join(work.path, 'elsewhere') });
    poison = join(work.path, 'poison');
    await work.tsbuild(['copy', '-q', 'store://app:1', `oci:${poison}:1`], { home: join(work.path, 'elsewhere') });
    const blob = (digest: string) => join(poison, 'blobs/sha256', digest.slice('sha256:'.length));
    const put = (bytes: Buffer) => {
      writeFileSync(blob(sha256(bytes)), bytes);
      return { digest: sha256(bytes), size: bytes.byteLength };
    };
    const index = JSON.parse(readFileSync(join(poison, 'index.json'), 'utf8'));
    const manifest = JSON.parse(readFileSync(blob(index.manifests[0].digest), 'utf8')) as Manifest;
    const config = JSON.parse(readFileSync(blob(manifest.config.digest), 'utf8'));
    const tars = ['made', 'data'].map((path) => writeTar([file(path, 'evil\n')]));
    config.rootfs.diff_ids = [...config.rootfs.diff_ids.slice(0, -2), ...tars.map(sha256)];
    const layers = manifest.layers.map((layer, at) => {
      const tar = tars[at - manifest.layers.length + 2];
      return tar ? { ...layer, ...put(tar) } : layer;
    });
    const document = {
      ...manifest,
      config: { ...manifest.config, ...put(Buffer.from(JSON.stringify(config))) },
      layers,
    };
    index.manifests[0] = { ...index.manifests[0], ...put(Buffer.from(JSON.stringify(document))) };
    writeFileSync(join(poison, 'index.json'), JSON.stringify(index));
    await work.tsbuild(['copy', '-q', `oci:${poison}:1`, `${registry.host}/app:1`]);
    await work.tsbuild(['copy', '-q', `oci:${poison}:1`, `docker-archive:${join(work.path, 'poison.tar')}:app:1`]);
  });

  const ways: readonly (readonly [how: string, bring: (home: string) => Promise<unknown>])[] = [
    ['pulled', (home) => work.tsbuild(['pull', '-q', `${registry.host}/app:1`], { home })],
    [
      'copied under the name that is built',
      (home) => work.tsbuild(['copy', '-q', `oci:${poison}:1`, 'store://app:1'], { home }),
    ],
    ['loaded', (home) => work.tsbuild(['load', '-q', '-i', join(work.path, 'poison.tar')], { home })],
  ];

  test.each(ways)('%s spares no step', async (how, bring) => {
    const home = join(work.path, `home-${how.replaceAll(' ', '-')}`);
    await bring(home);
    const { stderr } = await work.build(context, ['-t', 'app:1', '-t', `${registry.host}/app:1`], { home });
    expect(stderr).not.toContain('CACHED');
    for (const path of ['made', 'data']) expect(textOf('docker.io/library/app:1', path, home)).toBe('honest\n');
    // Its own steps it may believe.
    expect((await work.build(context, [], { home })).stderr.match(/CACHED/g)).toHaveLength(2);
  });

  test('is what FROM gives when it is named there, and spares no step of that build either', async () => {
    const home = join(work.path, 'home-from');
    const derived = work.context('derived', {
      Dockerfile: `FROM ${registry.host}/app:1\nCOPY data /data\n`,
      data: 'honest\n',
    });
    await work.tsbuild(['pull', '-q', `${registry.host}/app:1`], { home });
    expect((await work.build(derived, ['-t', 'derived:1'], { home })).stderr).not.toContain('CACHED');
    expect([
      textOf('docker.io/library/derived:1', 'made', home),
      textOf('docker.io/library/derived:1', 'data', home),
    ]).toEqual(['evil\n', 'honest\n']);
  });
});

describe('two bases with the same files', () => {
  const plain = busyboxImage();
  const variants: readonly (readonly [member: string, value: unknown, seen: string | undefined])[] = [
    ['none', undefined, '0:/:::\n'],
    ['Env', ['PATH=/bin', 'X=changed'], '0:/:changed::\n'],
    ['User', 'app', '1000:/:::\n'],
    ['WorkingDir', '/tmp', '0:/tmp:::\n'],
    ['Shell', ['/bin/sh', '-ec'], '0:/::e:\n'],
    ['OnBuild', ['ENV X=triggered'], '0:/:triggered::\n'],
    // Of no concern to a step; the image has them all the same.
    ['Healthcheck', { Test: ['CMD', 'true'] }, undefined],
    ['Labels', { from: 'this base' }, undefined],
    ['Cmd', ['other'], undefined],
    ['Entrypoint', ['/bin/busybox'], undefined],
    ['ExposedPorts', { '80/tcp': {} }, undefined],
    ['Volumes', { '/srv': {} }, undefined],
    ['StopSignal', 'SIGINT', undefined],
  ];
  const baseName = (member: string) => `base-${member.toLowerCase()}`;
  beforeAll(() => {
    writeOciLayout(
      join(work.path, 'variants'),
      variants.map(([member, value]) => ({
        ...plain,
        name: baseName(member),
        config: { ...plain.config, ...(value !== undefined && { [member]: value }) },
      })),
    );
  });

  test.each(variants)(
    'that differ in %s give images that differ in it, however warm the cache',
    async (member, value, seen) => {
      const dockerfile = (base: string) =>
        `FROM ${base}\nRUN case $- in *e*) e=e;; esac; echo "$(id -u):$(pwd):$X:$e:" >/tmp/seen\n`;
      const buildOn = async (base: string) => {
        const named = `${base}=oci-layout://${join(work.path, 'variants')}:${base}`;
        const context = work.context(`on-${base}`, { Dockerfile: dockerfile(base) });
        await work.build(context, ['-t', `on-${base}:1`, '--build-context', named]);
        return work.image(`docker.io/library/on-${base}:1`);
      };
      await buildOn(baseName('none'));
      const image = await buildOn(baseName(member));
      expect(flatten(image).get('tmp/seen')?.text).toBe(seen ?? '0:/:::\n');
      const inherited = member === 'OnBuild' ? ['PATH=/bin', 'X=triggered'] : value;
      expect(image.config.config?.[member === 'OnBuild' ? 'Env' : member]).toEqual(inherited);
    },
  );
});
