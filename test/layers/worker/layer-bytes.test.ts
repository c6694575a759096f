import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isTsbuildError } from '../../../src/core/index.ts';
import { type Compression, digestOf } from '../../../src/image/index.ts';
import { defaultTarLimits, type TarLimits } from '../../../src/layers/tar/tar-limits.ts';
import { readLayerBytes } from '../../../src/layers/worker/layer-bytes.ts';
import { neverAborted } from '../../support/layer-jobs.ts';
import { bash, temporaryFolder } from '../../support/layer-trees.ts';

let folder: ReturnType<typeof temporaryFolder>;

beforeEach(() => {
  folder = temporaryFolder('bytes');
});

afterEach(() => folder.remove());

/** Half noise, half text: several reads long, compressed too. */
const plain = Buffer.concat([
  randomBytes(1_500_000),
  Buffer.alloc(3_000_000, 'some text that repeats '),
  randomBytes(700_001),
]);

async function read(blob: Buffer, compression: Compression, diffId = digestOf(plain), limits: Partial<TarLimits> = {}) {
  const path = join(folder.path, 'blob');
  writeFileSync(path, blob);
  const chunks: Buffer[] = [];
  let largest = 0;
  try {
    const take = (chunk: Buffer) => {
      largest = Math.max(largest, chunk.length);
      chunks.push(Buffer.from(chunk));
    };
    await readLayerBytes({ blob: path, compression, diffId }, neverAborted, take, { ...defaultTarLimits, ...limits });
  } catch (error) {
    if (isTsbuildError(error)) return error.code;
    throw error;
  }
  return { bytes: Buffer.concat(chunks), largest };
}

function zstd(data: Buffer, ...options: string[]): Buffer {
  writeFileSync(join(folder.path, 'plain'), data);
  bash(`zstd -q -f ${options.join(' ')} plain -o plain.zst`, folder.path);
  return Buffer.from(bash('base64 -w0 plain.zst', folder.path), 'base64');
}

const flipped = (data: Buffer, at: number) => Buffer.from(data.map((byte, i) => (i === at ? byte ^ 1 : byte)));

describe('the bytes of a layer', () => {
  test('come out of every compression as they went in', async () => {
    const gzip = gzipSync(plain);
    const forms: readonly (readonly [Compression, Buffer])[] = [
      ['uncompressed', plain],
      ['gzip', gzip],
      ['gzip', Buffer.concat([gzipSync(plain.subarray(0, 1)), gzipSync(plain.subarray(1))])],
      ['gzip', Buffer.concat([gzip, gzipSync(Buffer.alloc(0))])],
      [
        'gzip',
        Buffer.concat(Array.from({ length: 53 }, (_, i) => gzipSync(plain.subarray(i * 100_000, (i + 1) * 100_000)))),
      ],
      ['zstd', zstd(plain)],
      ['zstd', zstd(plain, '--ultra', '-20', '--long=27')],
      ['zstd', Buffer.concat([zstd(plain.subarray(0, 2_000_000)), zstd(plain.subarray(2_000_000))])],
    ];
    for (const [compression, blob] of forms) {
      const result = await read(blob, compression);
      if (typeof result === 'string') throw new Error(`${compression}: ${result}`);
      expect(result.bytes.equals(plain)).toBe(true);
      expect(result.largest).toBeLessThan(16 * 1024 * 1024);
    }
  });

  test('that are damaged, cut short or of another layer are refused', async () => {
    const [gzip, zst] = [gzipSync(plain), zstd(plain)];
    const cases: readonly (readonly [Compression, Buffer])[] = [
      ['uncompressed', flipped(plain, 5)],
      ['uncompressed', plain.subarray(0, -1)],
      ['uncompressed', gzip],
      ['gzip', plain],
      ['gzip', Buffer.alloc(0)],
      ['gzip', gzip.subarray(0, -1)],
      ['gzip', gzip.subarray(0, 1_000_000)],
      ['gzip', flipped(gzip, 1_000_000)],
      ['gzip', flipped(gzip, gzip.length - 6)],
      ['gzip', Buffer.concat([gzip, gzip])],
      ['zstd', plain],
      ['zstd', zst.subarray(0, -1)],
      ['zstd', zst.subarray(0, 1_000_000)],
      ['zstd', flipped(zst, 1_000_000)],
    ];
    for (const [i, [compression, blob]] of cases.entries()) {
      expect(await read(blob, compression), `case ${i}, ${compression}`).toBe('layer-damaged');
    }
  });

  test('that unpack to far more than they are compressed to are refused beyond a size, and not below it', async () => {
    const zeros = Buffer.alloc(30_000_000);
    const limits = { ratio: 250, ratioFrom: 20_000_000 };
    for (const [compression, blob] of [
      ['gzip', gzipSync(zeros)],
      ['zstd', zstd(zeros)],
    ] as const) {
      expect(await read(blob, compression, digestOf(zeros), limits)).toBe('tar-limit');
      expect(await read(blob, compression, digestOf(zeros), { ...limits, ratioFrom: 40_000_000 })).toHaveProperty(
        'bytes',
      );
    }
  });
});
