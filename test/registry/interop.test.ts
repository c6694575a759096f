import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { copyGraph, mediaTypes, serializeManifest } from '../../src/image/index.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { neverAborted, pushTo, rejectionOf, repositoryOf, session } from '../support/registry-session.ts';
import { addImage, addIndex } from '../support/sample-images.ts';

const run = promisify(execFile);

let registry: TestRegistry;
let folder: string;
beforeAll(async () => {
  registry = await startRegistry();
  folder = mkdtempSync(join(tmpdir(), 'tsbuild-interop-'));
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

describe('skopeo', () => {
  test('reads an index we pushed, and we read what it makes of it in Docker format', async () => {
    const store = new MemoryStore();
    const images = new Map(['amd64', 'arm64'].map((arch) => [arch, addImage(store, [5_000, 70_000], arch)]));
    const index = addIndex(store, images);
    await using client = session();
    await pushTo(repositoryOf(client, `${registry.host}/ours`), store, index, 'v1');
    const { stdout } = await run('skopeo', [
      'inspect',
      '--tls-verify=false',
      '--raw',
      `docker://${registry.host}/ours:v1`,
    ]);
    expect(Buffer.from(stdout)).toEqual(store.blobs.get(index.digest));
    await run('skopeo', [
      ...['copy', '--all', '--src-tls-verify=false', '--dest-tls-verify=false', '--format', 'v2s2'],
      ...[`docker://${registry.host}/ours:v1`, `docker://${registry.host}/theirs:v1`],
    ]);
    const repository = repositoryOf(client, `${registry.host}/theirs`);
    const found = await repository.resolve('v1', neverAborted);
    expect(found.mediaType).toBe(mediaTypes.dockerIndex);
    const pulled = new MemoryStore();
    await copyGraph(repository, pulled, found, { signal: neverAborted });
    for (const { layers } of images.values()) {
      for (const layer of layers) expect(pulled.blobs.has(layer.digest)).toBe(true);
    }
  });
});

describe('a repository', () => {
  test('lists its tags, and the registry its repositories', async () => {
    const store = new MemoryStore();
    const { manifest } = addImage(store, [10]);
    await using client = session();
    const repository = repositoryOf(client, `${registry.host}/tagged`);
    await pushTo(repository, store, manifest, 'a');
    for (const tag of ['b', 'c', 'd']) await repository.tag(manifest, tag, neverAborted);
    expect((await all(repository.tags(neverAborted))).sort()).toEqual(['a', 'b', 'c', 'd']);
    expect(await all(client.catalog(registry.host, neverAborted))).toContain('tagged');
  });

  test('deletes by digest, and says why it cannot delete a tag', async () => {
    const store = new MemoryStore();
    const { manifest } = addImage(store, [10]);
    await using client = session();
    const repository = repositoryOf(client, `${registry.host}/doomed`);
    await pushTo(repository, store, manifest, 'a');
    expect(await rejectionOf(repository.delete('a', neverAborted))).toMatchObject({ code: 'registry-unsupported' });
    await repository.delete(manifest.digest, neverAborted);
    expect(await rejectionOf(repository.resolve('a', neverAborted))).toMatchObject({ code: 'registry-not-found' });
  });

  test('keeps the list of referrers under a tag where the registry has no API for it', async () => {
    const store = new MemoryStore();
    const { manifest } = addImage(store, [10]);
    const empty = store.add(mediaTypes.ociEmpty, Buffer.from('{}'));
    const attach = (artifactType: string, text: string) =>
      store.add(
        mediaTypes.ociManifest,
        serializeManifest({
          kind: 'manifest',
          mediaType: mediaTypes.ociManifest,
          artifactType,
          config: empty,
          layers: [store.add('text/plain', Buffer.from(text))],
          subject: manifest,
        }),
      );
    const [sbom, signature] = [attach('application/spdx+json', 'sbom'), attach('application/x-signature', 'sig')];
    await using client = session();
    const repository = repositoryOf(client, `${registry.host}/subject`);
    await pushTo(repository, store, manifest, 'v1');
    for (const artifact of [sbom, signature, sbom]) await pushTo(repository, store, artifact, 'x');
    const found = await repository.referrers(manifest.digest, { signal: neverAborted });
    expect(found.map(({ digest, artifactType }) => ({ digest, artifactType }))).toEqual([
      { digest: sbom.digest, artifactType: 'application/spdx+json' },
      { digest: signature.digest, artifactType: 'application/x-signature' },
    ]);
    const filtered = await repository.referrers(manifest.digest, {
      artifactType: 'application/x-signature',
      signal: neverAborted,
    });
    expect(filtered.map(({ digest }) => digest)).toEqual([signature.digest]);
    const copy = new MemoryStore();
    await copyGraph(repository, copy, manifest, {
      signal: neverAborted,
      referrers: (subject, signal) => repository.referrers(subject.digest, { signal }),
    });
    expect(copy.blobs.has(sbom.digest) && copy.blobs.has(signature.digest)).toBe(true);
  });

  test.each([0, 100])('takes an empty blob and gives it back (chunks of %i)', async (chunkSize) => {
    const store = new MemoryStore();
    const empty = store.add('application/octet-stream', Buffer.alloc(0));
    await using client = session({ chunkSize });
    const repository = repositoryOf(client, `${registry.host}/empty${chunkSize}`);
    expect(await repository.put(empty, () => store.open(empty), { signal: neverAborted })).toBe('written');
    for await (const chunk of await repository.open(empty, neverAborted)) expect(chunk.byteLength).toBe(0);
  });

  test('takes a blob in chunks', async () => {
    const store = new MemoryStore();
    const image = addImage(store, [1_000_000, 999]);
    await using client = session({ chunkSize: 300_000 });
    const repository = repositoryOf(client, `${registry.host}/chunks`);
    const progress: number[] = [];
    await copyGraph(store, repository, image.manifest, {
      signal: neverAborted,
      onBlob: ({ descriptor, state, done }) => {
        if (state === 'progress' && descriptor.size > 900_000) progress.push(done);
      },
    });
    expect(progress.slice(0, 3)).toEqual([300_000, 600_000, 900_000]);
    const pulled = new MemoryStore();
    await copyGraph(repository, pulled, image.manifest, { signal: neverAborted });
    expect(pulled.blobs.size).toBe(4);
  });

  test('whose upload is aborted has its session cancelled', async () => {
    const store = new MemoryStore();
    const blob = store.add('application/octet-stream', Buffer.alloc(500_000, 7));
    const abort = new AbortController();
    const log: string[] = [];
    await using client = session({ log: ({ method, status }) => log.push(`${method} ${status}`) });
    const repository = repositoryOf(client, `${registry.host}/aborted`);
    async function* endless() {
      yield Buffer.alloc(1000, 7);
      abort.abort();
      await new Promise(() => {});
    }
    const error = await rejectionOf(repository.put(blob, async () => endless(), { signal: abort.signal }));
    expect(error).toMatchObject({ code: 'cancelled' });
    expect(log.at(-1)).toMatch(/^DELETE (204|404)$/);
  });

  test('reports a failing source as the source said it', async () => {
    const store = new MemoryStore();
    const blob = store.add('application/octet-stream', Buffer.alloc(500_000, 7));
    await using client = session();
    async function* failing() {
      yield Buffer.alloc(1000, 7);
      throw new Error('the disk broke');
    }
    const error = await rejectionOf(
      repositoryOf(client, `${registry.host}/failing`).put(blob, async () => failing(), { signal: neverAborted }),
    );
    expect(error).toMatchObject({ message: 'the disk broke' });
  });

  test('is copied within one registry with more blobs than there are slots', async () => {
    const store = new MemoryStore();
    const image = addImage(
      store,
      Array.from({ length: 12 }, () => 300_000),
    );
    await using client = session({ requestsPerHost: 2, chunkSize: 100_000 });
    const from = repositoryOf(client, `${registry.host}/from`);
    await copyGraph(store, from, image.manifest, { signal: neverAborted, concurrency: 12 });
    const to = repositoryOf(client, `${registry.host}/to`);
    await copyGraph(from, to, image.manifest, { signal: neverAborted, concurrency: 12 });
    await using whole = session({ requestsPerHost: 2 });
    const third = repositoryOf(whole, `${registry.host}/third`);
    await copyGraph(repositoryOf(whole, `${registry.host}/to`), third, image.manifest, {
      signal: neverAborted,
      concurrency: 12,
    });
    expect(await third.has(image.manifest, neverAborted)).toBe(true);
  });

  test('on a registry whose storage is read-only is read, pushed to when nothing changes, and else refused in one clear error', async () => {
    const content = join(folder, 'read-only');
    const store = new MemoryStore();
    const image = addImage(store, [10]);
    await using client = session();
    {
      await using writable = await startRegistry({ folder: content });
      await pushTo(repositoryOf(client, `${writable.host}/app`), store, image.manifest);
    }
    await using readonly = await startRegistry({ storage: 'readonly', folder: content });
    const repository = repositoryOf(client, `${readonly.host}/app`);
    const pulled = new MemoryStore();
    await copyGraph(repository, pulled, await repository.resolve('latest', neverAborted), { signal: neverAborted });
    expect(pulled.blobs.size).toBe(store.blobs.size);
    await using another = session();
    const pushed = repositoryOf(another, `${readonly.host}/app`);
    await pushTo(pushed, store, image.manifest);
    const other = addImage(store, [20]);
    expect(await rejectionOf(pushTo(pushed, store, other.manifest))).toMatchObject({
      code: 'registry-unsupported',
      status: 405,
    });
  });
});

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const result: T[] = [];
  for await (const item of items) result.push(item);
  return result;
}
