/** Indexes that list one another thousands of times over, four levels deep: no command may walk all the ways through them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Descriptor, digestHex, mediaTypes } from '../../src/image/index.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { addImage } from '../support/sample-images.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { mustTsbuild, tsbuild } from '../support/tsbuild.ts';

let folder: TemporaryFolder;
let registry: TestRegistry;
const options = () => ({ home: folder.join('home'), cwd: folder.path, timeout: 60_000 });
const must = (...args: string[]) => mustTsbuild(args, options());

beforeAll(async () => {
  folder = temporaryFolder('nested-indexes');
  registry = await startRegistry();
  const store = new MemoryStore();
  let root: Descriptor = { ...addImage(store, [10]).manifest, platform: { os: 'linux', architecture: 'amd64' } };
  for (let level = 0; level < 4; level += 1) {
    const manifests = Array.from({ length: 4_000 }, () => root);
    root = store.add(
      mediaTypes.ociIndex,
      Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests })),
    );
  }
  mkdirSync(folder.join('layout/blobs/sha256'), { recursive: true });
  for (const [digest, bytes] of store.blobs)
    writeFileSync(folder.join('layout/blobs/sha256', digestHex(digest)), bytes);
  writeFileSync(folder.join('layout/oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(folder.join('layout/index.json'), JSON.stringify({ schemaVersion: 2, manifests: [root] }));
  await must('copy', '-q', '-a', 'oci:layout', 'store://bomb:1');
});
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

describe('an image of indexes that list one another', () => {
  test('is listed, checked, saved, copied with referrers, and gone with its name', async () => {
    expect((await must('images', 'bomb')).text.split('\n')).toHaveLength(3);
    expect((await must('store', 'check')).text).toContain('Nothing is damaged');
    await must('save', '--format', 'oci-archive', '-o', 'bomb.tar', 'bomb:1');
    await must('copy', '-q', '-a', '--referrers', 'oci-archive:bomb.tar', `${registry.host}/bomb:1`);
    await must('tag', 'bomb:1', 'other:1');
    await must('rmi', 'bomb:1', 'other:1');
    await must('prune', '--all', '--force');
  });

  test('has no tree: it says so', async () => {
    const { code, stderr } = await tsbuild(['tree', 'oci:layout'], options());
    expect([code, stderr]).toEqual([1, expect.stringContaining('more than 10000 manifests [manifest-invalid]')]);
  });
});
