import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { copyGraph, type Descriptor, parseReference } from '../../src/image/index.ts';
import { createRegistryClient, type RegistryClientOptions } from '../../src/registry/index.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { alice, startRegistry, type TestRegistry } from '../support/registry.ts';
import { addImage, addIndex } from '../support/sample-images.ts';

const signal = new AbortController().signal;

describe.each(['none', 'htpasswd', 'token'] as const)('a registry with authentication %s', (auth) => {
  let registry: TestRegistry;
  beforeAll(async () => {
    registry = await startRegistry({ auth });
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
  });

  const options = (): RegistryClientOptions =>
    auth === 'none' ? {} : { credentials: { find: async () => ({ kind: 'password', ...alice }) } };

  test('takes an image of several layers and gives it back byte for byte', async () => {
    const store = new MemoryStore();
    const image = addImage(store, [300_000, 10, 2_000_000]);
    const client = createRegistryClient(options());
    const repository = client.repository(parseReference(`${registry.host}/team/app`));
    await copyGraph(store, repository, image.manifest, { signal });
    await repository.tag(image.manifest, 'v1', signal);
    await client.close();
    await expectSame(store, image.manifest, 'team/app', 'v1');
  });

  test('takes an index with its images', async () => {
    const store = new MemoryStore();
    const images = new Map(['amd64', 'arm64'].map((arch) => [arch, addImage(store, [5_000, 70_000], arch)]));
    const index = addIndex(store, images);
    const client = createRegistryClient(options());
    const repository = client.repository(parseReference(`${registry.host}/team/multi`));
    await copyGraph(store, repository, index, { signal });
    await repository.tag(index, 'v1', signal);
    await client.close();
    await expectSame(store, index, 'team/multi', 'v1');
  });

  async function expectSame(store: MemoryStore, root: Descriptor, name: string, tag: string): Promise<void> {
    const client = createRegistryClient(options());
    const repository = client.repository(parseReference(`${registry.host}/${name}`));
    const pulled = new MemoryStore();
    const found = await repository.resolve(tag, signal);
    expect(found).toMatchObject({ digest: root.digest, size: root.size, mediaType: root.mediaType });
    await copyGraph(repository, pulled, found, { signal });
    await client.close();
    expect([...pulled.blobs.keys()].sort()).toEqual([...store.blobs.keys()].sort());
    for (const [digest, bytes] of store.blobs) expect(pulled.blobs.get(digest)?.equals(bytes)).toBe(true);
  }
});
