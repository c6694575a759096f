import { execFileSync } from 'node:child_process';
import {
  createReadStream,
  createWriteStream,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import {
  copyGraph,
  digestHex,
  digestOf,
  mediaTypes,
  parseManifest,
  parseReference,
  readManifest,
  serializeManifest,
} from '../../../src/image/index.ts';
import {
  type LocalStore,
  openArchive,
  openOciLayout,
  writeDockerArchive,
  writeOciArchive,
  writeOciLayout,
} from '../../../src/layers/index.ts';
import {
  collect,
  directoryEntry,
  fileEntry,
  never,
  putImage,
  type TestImage,
  temporaryFolder,
  temporaryStore,
} from '../../support/store.ts';

async function sample(store: LocalStore): Promise<TestImage> {
  return putImage(store, [[directoryEntry('d'), fileEntry('d/a', 'x'.repeat(100_000))], [fileEntry('d/b', 'two')]]);
}

async function written(write: (out: NodeJS.WritableStream) => Promise<void>): Promise<string> {
  const path = join(temporaryFolder(), 'archive.tar');
  const out = createWriteStream(path);
  await write(out);
  out.end();
  await finished(out);
  return path;
}

/** The image's manifest with gzip layers, as a pull would bring it. */
async function gzipped(store: LocalStore, image: TestImage): Promise<TestImage['target']> {
  const layers = await Promise.all(image.layers.map((layer) => store.compress(layer, 'gzip', { signal: never })));
  const manifest = { kind: 'manifest', mediaType: mediaTypes.ociManifest, config: image.config, layers } as const;
  return store.putBytes(mediaTypes.ociManifest, serializeManifest(manifest));
}

function members(archive: string): string[] {
  return execFileSync('tar', ['tf', archive], { encoding: 'utf8' }).trim().split('\n');
}

describe('a docker archive', () => {
  test('holds manifest.json and an OCI layout, uncompressed layers, and nothing twice', async () => {
    const store = await temporaryStore();
    const image = await sample(store);
    const target = await gzipped(store, image);
    const archive = await written((out) =>
      writeDockerArchive(store, [{ target, names: ['app:1', 'localhost:5000/app:2'] }], out, never),
    );
    const folder = temporaryFolder();
    execFileSync('tar', ['xf', archive, '-C', folder]);
    const [listed] = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
    expect(listed).toEqual({
      Config: `blobs/sha256/${digestHex(image.config.digest)}`,
      RepoTags: ['docker.io/library/app:1', 'localhost:5000/app:2'],
      Layers: image.layers.map((layer) => `blobs/sha256/${digestHex(layer.diffId)}`),
    });
    const archived = await openOciLayout(folder, never);
    expect(archived.images).toEqual([
      {
        target: expect.objectContaining({ digest: image.target.digest }),
        names: ['docker.io/library/app:1', 'localhost:5000/app:2'],
      },
    ]);
    const names = members(archive);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => name.startsWith('blobs/sha256/') && name !== 'blobs/sha256/').length).toBe(4);
  });

  test('is read by skopeo as a docker archive and as an OCI archive, and by podman with its names', async () => {
    const store = await temporaryStore();
    const image = await sample(store);
    const archive = await written((out) =>
      writeDockerArchive(store, [{ target: image.target, names: ['team/app:1', 'app:2'] }], out, never),
    );
    const config = execFileSync('skopeo', ['inspect', '--config', '--raw', `docker-archive:${archive}:app:2`]);
    expect(digestOf(config)).toBe(image.config.digest);
    const raw = execFileSync('skopeo', ['inspect', '--raw', `oci-archive:${archive}:docker.io/team/app:1`]);
    expect(digestOf(raw)).toBe(image.target.digest);
    const root = temporaryFolder();
    const podman = ['--root', join(root, 'root'), '--runroot', join(root, 'run'), '--storage-driver', 'vfs'];
    execFileSync('podman', [...podman, 'load', '-q', '-i', archive], { stdio: 'pipe' });
    const images = execFileSync(
      'podman',
      [...podman, 'images', '--no-trunc', '--format', '{{.ID}} {{.Repository}}:{{.Tag}}'],
      {
        encoding: 'utf8',
      },
    );
    const id = image.config.digest;
    expect(images.trim().split('\n').sort()).toEqual([`${id} docker.io/library/app:2`, `${id} docker.io/team/app:1`]);
  });

  test('has the same bytes each time', async () => {
    const [one, two] = await Promise.all(
      [1, 2].map(async () => {
        const store = await temporaryStore();
        const image = await sample(store);
        return readFileSync(
          await written((out) => writeDockerArchive(store, [{ target: image.target, names: ['a'] }], out, never)),
        );
      }),
    );
    expect(one && two && one.equals(two)).toBe(true);
  });

  test('stops with an error when its reader goes away or a blob is damaged', async () => {
    const store = await temporaryStore();
    const image = await putImage(store, [[fileEntry('a', Buffer.alloc(8_000_000, 1))]]);
    const gone = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error('EPIPE'), { code: 'EPIPE' })),
    });
    gone.on('error', () => {});
    await expect(writeDockerArchive(store, [{ target: image.target, names: [] }], gone, never)).rejects.toMatchObject({
      code: 'output-failed',
    });
    const slow = new PassThrough();
    const stop = new AbortController();
    const writing = writeDockerArchive(store, [{ target: image.target, names: [] }], slow, stop.signal);
    setImmediate(() => stop.abort());
    await expect(writing).rejects.toMatchObject({ code: 'cancelled' });
    const path = store.blobPath(image.layers[0]?.diffId ?? digestOf(''));
    const bytes = readFileSync(path);
    bytes[4_000_000] = 7;
    execFileSync('chmod', ['600', path]);
    writeFileSync(path, bytes);
    const out = new Writable({ write: (_chunk, _encoding, done) => done() });
    await expect(writeDockerArchive(store, [{ target: image.target, names: [] }], out, never)).rejects.toMatchObject({
      code: 'blob-damaged',
    });
  });
});

describe('an OCI archive or layout', () => {
  test('is read by skopeo, umoci and us', async () => {
    const store = await temporaryStore();
    const target = await gzipped(store, await sample(store));
    const archive = await written((out) => writeOciArchive(store, [{ target, names: ['app:1'] }], out, never));
    expect(digestOf(execFileSync('skopeo', ['inspect', '--raw', `oci-archive:${archive}`]))).toBe(target.digest);
    const folder = join(temporaryFolder(), 'layout');
    await writeOciLayout(store, [{ target, names: ['app:1'] }], folder, never);
    await writeOciLayout(store, [{ target, names: ['app:2'] }], folder, never);
    expect(execFileSync('umoci', ['ls', '--layout', folder], { encoding: 'utf8' }).trim().split('\n').sort()).toEqual([
      'docker.io/library/app:1',
      'docker.io/library/app:2',
    ]);
    const bundle = join(temporaryFolder(), 'bundle');
    execFileSync('umoci', ['unpack', '--image', `${folder}:docker.io/library/app:2`, bundle]);
    expect(readFileSync(join(bundle, 'rootfs/d/b'), 'utf8')).toBe('two');
    for (const source of [await openOciLayout(folder, never), await openFile(archive)]) {
      const other = await temporaryStore();
      await copyGraph(source, other, await source.resolve('app:1', never), { signal: never });
      expect((await readManifest(other, target, never)).length).toBe(target.size);
      await source[Symbol.asyncDispose]();
    }
  });

  test('written by skopeo, umoci or podman is loaded', async () => {
    const store = await temporaryStore();
    const image = await sample(store);
    await store.tagImage(image.target, parseReference('app:1'));
    const from = `oci:${store.root}:docker.io/library/app:1`;
    const folder = temporaryFolder();
    execFileSync('skopeo', ['copy', '-q', from, `oci:${folder}/layout:1.2`]);
    execFileSync('skopeo', ['copy', '-q', from, `oci-archive:${folder}/oci.tar:team/app:7`]);
    execFileSync('skopeo', ['copy', '-q', from, `docker-archive:${folder}/docker.tar:team/app:8`]);
    const cases = [
      { source: await openOciLayout(`${folder}/layout`, never), reference: '1.2', names: [] },
      { source: await openFile(`${folder}/oci.tar`), reference: 'team/app:7', names: ['docker.io/team/app:7'] },
      { source: await openFile(`${folder}/docker.tar`), reference: '', names: ['docker.io/team/app:8'] },
    ];
    for (const { source, reference, names } of cases) {
      expect(source.images[0]?.names).toEqual(names);
      const target = await source.resolve(reference, never);
      const other = await temporaryStore();
      await copyGraph(source, other, target, { signal: never });
      const document = parseManifest(await readManifest(other, target, never));
      expect(document.kind === 'manifest' && document.config.digest).toBe(image.config.digest);
      await source[Symbol.asyncDispose]();
    }
  });
});

async function openFile(path: string) {
  return openArchive(path, { signal: never, draft: join(temporaryFolder(), 'draft') });
}

describe('what docker save wrote before Docker 25', () => {
  /** The classic form: a folder per layer, `layer.tar`, a layer shared as a symlink. */
  async function classic(change: (folder: string) => void = () => {}): Promise<{ archive: string; image: TestImage }> {
    const store = await temporaryStore();
    const image = await sample(store);
    const folder = temporaryFolder();
    const [one, two] = image.layers;
    if (!one || !two) throw new Error('no layers');
    for (const [name, layer] of [
      ['1'.repeat(64), one],
      ['2'.repeat(64), two],
    ] as const) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'layer.tar'), await collect(await store.open(layer.blob, never)));
      writeFileSync(join(folder, name, 'VERSION'), '1.0');
    }
    mkdirSync(join(folder, '3'));
    symlinkSync(`../${'2'.repeat(64)}/layer.tar`, join(folder, '3', 'layer.tar'));
    const config = `${digestHex(image.config.digest)}.json`;
    writeFileSync(join(folder, config), await collect(await store.open(image.config, never)));
    const layers = [`${'1'.repeat(64)}/layer.tar`, '3/layer.tar'];
    writeFileSync(
      join(folder, 'manifest.json'),
      JSON.stringify([{ Config: config, RepoTags: ['old:1'], Layers: layers }]),
    );
    change(folder);
    const archive = join(temporaryFolder(), 'classic.tar');
    execFileSync('tar', ['cf', archive, '-C', folder, ...readdirSync(folder)]);
    return { archive, image };
  }

  test('is loaded with a manifest of its own, from a file, a pipe, and compressed', async () => {
    const { archive, image } = await classic();
    const compressed = `${archive}.gz`;
    writeFileSync(compressed, gzipSync(readFileSync(archive)));
    execFileSync('zstd', ['-q', archive]);
    const inputs = [archive, createReadStream(archive, { highWaterMark: 3 }), compressed, `${archive}.zst`];
    for (const input of inputs) {
      const folder = temporaryFolder();
      const source = await openArchive(input, { signal: never, draft: join(folder, 'draft') });
      expect(source.images).toEqual([{ target: image.target, names: ['docker.io/library/old:1'] }]);
      const store = await temporaryStore();
      await copyGraph(source, store, image.target, { signal: never });
      expect((await collect(await store.open(image.layers[1]?.blob ?? image.config, never))).length).toBeGreaterThan(0);
      await source[Symbol.asyncDispose]();
      expect(readdirSync(folder)).toEqual([]);
    }
  }, 120_000);

  test('is refused by name when a part is missing or damaged', async () => {
    const broken = [
      (folder: string) => rmSync(join(folder, 'manifest.json')),
      (folder: string) => writeFileSync(join(folder, 'manifest.json'), '[{'),
      (folder: string) => writeFileSync(join(folder, 'manifest.json'), '[{"Config":7}]'),
      (folder: string) => rmSync(join(folder, '3'), { recursive: true }),
      (folder: string) => rmSync(join(folder, '2'.repeat(64)), { recursive: true }),
      (folder: string) => writeFileSync(join(folder, 'oci-layout'), '{}'),
    ];
    for (const change of broken) {
      const { archive } = await classic(change);
      await expect(openFile(archive)).rejects.toMatchObject({
        code: 'image-archive-invalid',
        message: expect.stringContaining(archive),
      });
    }
    const { archive, image } = await classic((folder) =>
      writeFileSync(join(folder, '1'.repeat(64), 'layer.tar'), Buffer.alloc(10240)),
    );
    const source = await openFile(archive);
    const store = await temporaryStore();
    const target = await source.resolve('', never);
    await expect(copyGraph(source, store, target, { signal: never })).rejects.toMatchObject({
      message: expect.stringContaining(image.layers[0]?.diffId ?? ''),
    });
    expect(store.hasBlob(target.digest)).toBe(false);
    await source[Symbol.asyncDispose]();
  }, 120_000);

  test('never reads a file outside the archive, whatever its documents and links say', async () => {
    const secret = join(temporaryFolder(), 'secret');
    writeFileSync(secret, '{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}');
    const evil = await classic((folder) => {
      symlinkSync(secret, join(folder, 'config.json'));
      writeFileSync(
        join(folder, 'manifest.json'),
        JSON.stringify([{ Config: 'config.json', RepoTags: null, Layers: [] }]),
      );
    });
    await expect(openFile(evil.archive)).rejects.toMatchObject({ code: 'image-archive-invalid' });
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    writeFileSync(
      join(folder, 'index.json'),
      JSON.stringify({
        schemaVersion: 2,
        manifests: [{ mediaType: mediaTypes.ociManifest, digest: 'sha256:../../secret', size: 1 }],
      }),
    );
    await expect(openOciLayout(folder, never)).rejects.toMatchObject({ code: 'manifest-invalid' });
    execFileSync('mkfifo', [join(folder, 'fifo')]);
    rmSync(join(folder, 'index.json'));
    execFileSync('mv', [join(folder, 'fifo'), join(folder, 'index.json')]);
    await expect(openOciLayout(folder, never)).rejects.toMatchObject({ code: 'image-archive-invalid' });
  });
});
