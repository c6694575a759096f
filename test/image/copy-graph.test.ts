import { describe, expect, test } from 'vitest';
import { type BlobSink, copyGraph, type Descriptor, mediaTypes, serializeManifest } from '../../src/image/index.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { addImage, addIndex } from '../support/sample-images.ts';

const signal = new AbortController().signal;

function indexOf(store: MemoryStore, manifests: readonly Descriptor[]): Descriptor {
  const document = { kind: 'index', mediaType: mediaTypes.ociIndex, manifests } as const;
  return store.add(mediaTypes.ociIndex, serializeManifest(document));
}

describe('copyGraph', () => {
  test('puts children before what refers to them, and what is shared once', async () => {
    const from = new MemoryStore();
    const image = addImage(from, [10, 20]);
    const other = from.add(
      mediaTypes.ociManifest,
      serializeManifest({
        kind: 'manifest',
        mediaType: mediaTypes.ociManifest,
        config: image.config,
        layers: image.layers.slice(1),
      }),
    );
    const index = indexOf(from, [image.manifest, other]);
    const to = new MemoryStore();
    await copyGraph(from, to, index, { signal });
    expect(new Set(to.writes).size).toBe(to.writes.length);
    expect(to.blobs.size).toBe(from.blobs.size);
    const at = (descriptor: Descriptor | undefined) => to.writes.indexOf(descriptor?.digest ?? index.digest);
    expect(at(index)).toBe(to.writes.length - 1);
    expect(at(image.manifest)).toBeGreaterThan(at(image.layers[0]));
    expect(at(image.manifest)).toBeGreaterThan(at(image.config));
  });

  test('completes an image of which a store has the manifest but not the layers', async () => {
    const from = new MemoryStore();
    const image = addImage(from, [10, 20]);
    const index = addIndex(from, new Map([['amd64', image]]));
    const to = new MemoryStore();
    for (const { digest } of [index, image.manifest, image.config]) {
      to.blobs.set(digest, from.blobs.get(digest) ?? Buffer.of());
    }
    await copyGraph(from, to, index, { signal });
    expect(to.blobs.size).toBe(from.blobs.size);
  });

  test('reads nothing when a sink that is complete has the root', async () => {
    const from = new MemoryStore();
    const image = addImage(from, [10]);
    const sink: BlobSink = {
      name: 'a complete sink',
      complete: true,
      has: async () => true,
      put: async () => expect.unreachable(),
      tag: async () => {},
    };
    await copyGraph(from, sink, image.manifest, { signal });
    expect(from.opens).toEqual([]);
  });

  test('takes only the manifests that are selected, and keeps the bytes of the index', async () => {
    const from = new MemoryStore();
    const images = new Map(['amd64', 'arm64'].map((arch) => [arch, addImage(from, [10], arch)]));
    const index = addIndex(from, images);
    const to = new MemoryStore();
    await copyGraph(from, to, index, { signal, select: ({ platform }) => platform?.architecture === 'arm64' });
    expect(to.blobs.has(index.digest)).toBe(true);
    expect(to.blobs.has(images.get('arm64')?.manifest.digest ?? index.digest)).toBe(true);
    expect(to.blobs.has(images.get('amd64')?.manifest.digest ?? index.digest)).toBe(false);
  });

  test('copies referrers and theirs, and does not wait for itself when a list names an ancestor', async () => {
    const from = new MemoryStore();
    const image = addImage(from, [10]);
    const index = addIndex(from, new Map([['amd64', image]]));
    const attached = addImage(from, [1], 'amd64', image.manifest).manifest;
    const again = addImage(from, [2], 'amd64', attached).manifest;
    const lists = new Map([
      [image.manifest.digest, [attached, index]],
      [attached.digest, [again]],
      [again.digest, [attached]],
    ]);
    const to = new MemoryStore();
    await copyGraph(from, to, index, { signal, referrers: async ({ digest }) => lists.get(digest) ?? [] });
    expect(to.blobs.size).toBe(from.blobs.size);
  });

  test('refuses indexes nested without end', async () => {
    const from = new MemoryStore();
    let root = addImage(from, [10]).manifest;
    for (let depth = 0; depth < 12; depth += 1) root = indexOf(from, [root]);
    await expect(copyGraph(from, new MemoryStore(), root, { signal })).rejects.toMatchObject({
      code: 'manifest-invalid',
    });
  });

  test('refuses a manifest whose bytes are not those of its digest', async () => {
    const from = new MemoryStore();
    const { manifest } = addImage(from, [10]);
    from.blobs.set(manifest.digest, Buffer.from(' '.repeat(manifest.size)));
    await expect(copyGraph(from, new MemoryStore(), manifest, { signal })).rejects.toMatchObject({
      code: 'manifest-invalid',
    });
  });

  test('stops the other blobs when one fails, and throws the first failure', async () => {
    const from = new MemoryStore();
    const image = addImage(from, [10, 20, 30]);
    const failing = image.layers[1]?.digest;
    const to = new MemoryStore();
    let aborted = 0;
    const sink: BlobSink = {
      name: 'a failing sink',
      has: (descriptor) => to.has(descriptor),
      tag: async () => {},
      async put(descriptor, _open, options) {
        if (descriptor.digest === failing) throw new Error('this one failed');
        await new Promise<void>((resolve) => options.signal.addEventListener('abort', () => resolve()));
        aborted += 1;
        throw new Error('aborted');
      },
    };
    await expect(copyGraph(from, sink, image.manifest, { signal })).rejects.toThrow('this one failed');
    expect(aborted).toBe(3);
  });
});
