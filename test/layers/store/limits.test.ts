import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseReference } from '../../../src/image/index.ts';
import { openStore } from '../../../src/layers/index.ts';
import { bundleProgram, startProgram } from '../../support/child-program.ts';
import { fileEntry, never, putImage, temporaryFolder, temporaryStore } from '../../support/store.ts';

const mayMount = process.geteuid?.() === 0;

describe('a full disk', () => {
  test.skipIf(!mayMount)(
    'fails what does not fit, by name, keeps what is there, and is of no consequence once there is room',
    async () => {
      const folder = temporaryFolder();
      const root = join(folder, 'small');
      mkdirSync(root, { mode: 0o700 });
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m,mode=700', 'tmpfs', root]);
      onTestFinished(() => {
        execFileSync('umount', ['-l', root]);
      });
      const store = await openStore(root, { workers: 1 });
      const kept = await putImage(store, [[fileEntry('f', 'small')]]);
      await store.tagImage(kept.target, parseReference('kept'));
      const large = Buffer.alloc(6_000_000, 'full disk ');
      const full = { code: 'store-full', hint: expect.stringContaining('prune') };
      await expect(putImage(store, [[fileEntry('f', large)]])).rejects.toMatchObject(full);
      const stream = async function* () {
        for (let i = 0; i < large.length; i += 65_536) yield large.subarray(i, i + 65_536);
      };
      await expect(store.putStream('text/plain', stream(), never)).rejects.toMatchObject(full);
      execFileSync('sh', ['-c', `dd if=/dev/zero of=${root}/cache/ballast bs=4k 2>/dev/null || true`]);
      await expect(putImage(store, [[fileEntry('g', 'no room left'.repeat(1000))]])).rejects.toMatchObject(full);
      await expect(store.tagImage(kept.target, parseReference('more'))).rejects.toMatchObject(full);
      execFileSync('rm', [`${root}/cache/ballast`]);
      await store.close();
      expect(readdirSync(join(root, 'ingest'))).toEqual([]);
      const again = await openStore(root, { workers: 1 });
      expect((await again.images()).map((image) => image.name)).toEqual(['docker.io/library/kept:latest']);
      expect(await again.check({ signal: never })).toMatchObject({ damaged: [], missing: [], absentLayers: [] });
      await again.tagImage(kept.target, parseReference('more'));
      await again.close();
    },
  );
});

describe('a large blob', () => {
  test('is put, read and compressed in memory that does not depend on its size', async () => {
    const script = await bundleProgram('layers/store/children/large-blob.ts');
    const largest: number[] = [];
    for (const megabytes of ['150', '500']) {
      const program = startProgram(script, [join(temporaryFolder(), 'store'), megabytes]);
      expect(await program.ended, program.errors()).toBe(0);
      largest.push(Number(program.lines[0]));
    }
    const [small = 0, large = 0] = largest;
    expect(large).toBeLessThan(200_000_000);
    expect(large - small).toBeLessThan(80_000_000);
  }, 180_000);
});

describe('many images', () => {
  test('are listed from one small file', async () => {
    const store = await temporaryStore();
    const image = await putImage(store, [[fileEntry('f', 'x')]]);
    for (let n = 0; n < 40; n += 1) await store.tagImage(image.target, parseReference(`app:${n}`));
    expect((await store.images()).length).toBe(40);
    expect((await store.findImage('app:39'))?.target).toEqual(image.target);
  });
});
