import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { crc32, gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { type Descriptor, digestOf, mediaTypes } from '../../../src/image/index.ts';
import { crc32Combine } from '../../../src/layers/compress/gzip-frame.ts';
import type { LocalStore } from '../../../src/layers/index.ts';
import { never, temporaryStore } from '../../support/store.ts';

/** Text, random bytes, repeated random bytes and zeros, of a size that is no multiple of anything. */
const mixed = mixture();

function mixture(): Buffer {
  const random = createHash('sha512').update('seed').digest();
  const noise: Buffer[] = [];
  for (let block = random; noise.length < 50_000; block = createHash('sha512').update(block).digest())
    noise.push(block);
  const words = Buffer.from(noise.map((bytes, i) => `${i} ${bytes.toString('hex', 0, i % 9)}\n`).join(''));
  return Buffer.concat([words, ...noise, words, Buffer.alloc(5_000_001), ...noise, words]);
}

async function putLayer(store: LocalStore, bytes: Uint8Array) {
  const chunks = (async function* () {
    yield bytes;
  })();
  const blob = await store.putStream(mediaTypes.ociLayerTar, chunks, never);
  return { diffId: blob.digest, blob };
}

function judge(tool: 'gzip' | 'zstd', store: LocalStore, blob: Descriptor): Buffer {
  const path = store.blobPath(blob.digest);
  execFileSync(tool, ['-t'], { input: readFileSync(path), stdio: ['pipe', 'ignore', 'pipe'] });
  return execFileSync(tool, ['-dc'], { input: readFileSync(path), maxBuffer: 1 << 28 });
}

describe('compression', () => {
  test.each(['gzip', 'zstd'] as const)(
    'with %s gives a stream its own tool accepts, of the same bytes',
    async (tool) => {
      const store = await temporaryStore();
      for (const bytes of [
        mixed,
        Buffer.alloc(0),
        Buffer.from('x'),
        randomBytes(4 * 1024 * 1024),
        Buffer.alloc(8 << 20),
      ]) {
        const layer = await putLayer(store, bytes);
        const blob = await store.compress(layer, tool, { signal: never });
        expect(blob.mediaType).toBe(`application/vnd.oci.image.layer.v1.tar+${tool}`);
        expect(blob.size).toBe(readFileSync(store.blobPath(blob.digest)).length);
        expect(digestOf(judge(tool, store, blob))).toBe(layer.diffId);
      }
    },
  );

  test('with gzip is one member without time and name', async () => {
    const store = await temporaryStore();
    const layer = await putLayer(store, mixed);
    const blob = await store.compress(layer, 'gzip', { signal: never });
    const bytes = readFileSync(store.blobPath(blob.digest));
    expect([...bytes.subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
    // node:zlib goes on after the first member; ISIZE and CRC at the very end are of the whole only if there is one.
    const plain = gunzipSync(bytes);
    expect(bytes.readUInt32LE(bytes.length - 4)).toBe(plain.length);
    expect(bytes.readUInt32LE(bytes.length - 8)).toBe(crc32(plain));
  });

  test.each([
    ['gzip', undefined],
    ['gzip', 1],
    ['gzip', 9],
    ['zstd', undefined],
    ['zstd', 9],
  ] as const)('with %s at level %s gives the same bytes whatever the number of workers', async (algorithm, level) => {
    const digests = new Set<string>();
    for (const workers of [1, 2, 3]) {
      const store = await temporaryStore({ workers });
      const layer = await putLayer(store, mixed);
      const options = { signal: never, ...(level !== undefined && { level }) };
      digests.add((await store.compress(layer, algorithm, options)).digest);
    }
    expect(digests.size).toBe(1);
  });

  test('is remembered per layer, algorithm and level, and made again when its blob is gone', async () => {
    const store = await temporaryStore();
    const layer = await putLayer(store, mixed);
    const first = await store.compress(layer, 'gzip', { signal: never });
    await store.close();
    const again = await temporaryStore({ root: store.root });
    execFileSync('rm', ['-f', again.blobPath(layer.diffId)]);
    expect(await again.compress(layer, 'gzip', { signal: never })).toEqual(first);
    // The layer itself is made again from the one form that is there.
    const fast = await again.compress(layer, 'gzip', { signal: never, level: 1 });
    expect(again.hasBlob(layer.diffId)).toBe(true);
    for (const digest of [layer.diffId, first.digest, fast.digest]) rmSync(again.blobPath(digest));
    await expect(again.compress(layer, 'gzip', { signal: never, level: 2 })).rejects.toMatchObject({
      code: 'blob-damaged',
    });
    await putLayer(again, mixed);
    expect(await again.compress(layer, 'gzip', { signal: never })).toEqual(first);
    expect((await again.compress(layer, 'gzip', { signal: never, level: 9 })).size).toBeLessThan(first.size);
  });

  test('leaves alone what already is in the form asked for, present or not', async () => {
    const store = await temporaryStore();
    const blob = { mediaType: mediaTypes.dockerLayerGzip, digest: digestOf('far away'), size: 10 };
    expect(await store.compress({ diffId: digestOf('tar'), blob }, 'gzip', { signal: never })).toEqual(blob);
  });

  test('takes a compressed form apart when another is asked for', async () => {
    const store = await temporaryStore();
    const layer = await putLayer(store, mixed);
    const gzip = await store.compress(layer, 'gzip', { signal: never });
    execFileSync('rm', ['-f', store.blobPath(layer.diffId)]);
    const zstd = await store.compress({ ...layer, blob: gzip }, 'zstd', { signal: never });
    expect(digestOf(judge('zstd', store, zstd))).toBe(layer.diffId);
    const plain = await store.compress({ ...layer, blob: gzip }, 'uncompressed', { signal: never });
    expect(plain).toEqual(layer.blob);
  });

  test('of a damaged blob that another process wrote fails by its name and remembers nothing', async () => {
    const store = await temporaryStore();
    const layer = await putLayer(store, mixed);
    await store.close();
    const path = store.blobPath(layer.diffId);
    const bytes = readFileSync(path);
    bytes[5_000_000] = (bytes[5_000_000] ?? 0) ^ 1;
    execFileSync('chmod', ['600', path]);
    writeFileSync(path, bytes);
    const again = await temporaryStore({ root: store.root });
    await expect(again.compress(layer, 'gzip', { signal: never })).rejects.toMatchObject({
      code: 'blob-damaged',
      message: expect.stringContaining(layer.diffId),
    });
    expect(again.hasBlob(layer.diffId)).toBe(false);
    await putLayer(again, mixed);
    const blob = await again.compress(layer, 'gzip', { signal: never });
    expect(digestOf(judge('gzip', again, blob))).toBe(layer.diffId);
  });

  test('refuses levels its algorithm does not have', async () => {
    const store = await temporaryStore();
    const layer = await putLayer(store, Buffer.from('x'));
    for (const [algorithm, level] of [
      ['gzip', 10],
      ['gzip', -1],
      ['zstd', 23],
      ['gzip', 1.5],
    ] as const) {
      await expect(store.compress(layer, algorithm, { signal: never, level })).rejects.toMatchObject({
        code: 'compression-level-invalid',
      });
    }
  });

  test('joins the checksums of pieces of any length', () => {
    const bytes = randomBytes(100_003);
    for (const cut of [0, 1, 7, 4096, 65_537, 100_002, 100_003]) {
      const [a, b] = [bytes.subarray(0, cut), bytes.subarray(cut)];
      expect(crc32Combine(crc32(a), crc32(b), b.length)).toBe(crc32(bytes));
    }
  });
});
