import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { chainIds, digestHex, digestOf, parseReference } from '../../../src/image/index.ts';
import { type LocalStore, openStore } from '../../../src/layers/index.ts';
import { fileEntry, never, putImage, temporaryFolder, temporaryStore } from '../../support/store.ts';

const noFetch = {
  signal: never,
  ensure: async (): Promise<void> => {
    throw new Error('nothing should be fetched');
  },
};

async function namedImage(store: LocalStore, name: string, content: string) {
  const image = await putImage(store, [[fileEntry('f', content.repeat(1000))]]);
  await store.tagImage(image.target, parseReference(name));
  return image;
}

function blobsIn(store: LocalStore): string[] {
  return readdirSync(join(store.root, 'blobs/sha256')).sort();
}

describe('prune', () => {
  test('keeps what names and records need and frees the rest', async () => {
    const store = await temporaryStore();
    const kept = await namedImage(store, 'kept', 'k');
    const gone = await namedImage(store, 'gone', 'g');
    const step = await putImage(store, [[fileEntry('s', 'step'.repeat(1000))]]);
    const stepLayer = step.layers[0]?.diffId ?? digestOf('');
    await store.putRecord('steps', 'ab', { diffId: stepLayer });
    await store.listUnnamed(step.target);
    await store.lowers(gone.layers, noFetch);
    await store.lowers(kept.layers, noFetch);
    await store.tree(gone.layers, noFetch);
    await store.untagImage(parseReference('gone'));
    const result = await store.prune({ signal: never });
    expect(result.images).toEqual([step.target.digest]);
    expect(result.reclaimed).toBeGreaterThan(0);
    const needed = [kept.target, kept.config, ...kept.layers.map((layer) => layer.blob)].map((d) =>
      digestHex(d.digest),
    );
    expect(blobsIn(store)).toEqual([...needed, digestHex(stepLayer)].sort());
    expect(readdirSync(join(store.root, 'snapshots')).map((name) => basename(name, '.user'))).toEqual(
      chainIds(kept.layers.map((l) => l.diffId)).map(digestHex),
    );
    expect(await store.record('steps', 'ab')).toEqual({ diffId: stepLayer });
    expect((await store.images()).map((image) => image.name)).toEqual(['docker.io/library/kept:latest']);
    expect(await store.check({ signal: never })).toMatchObject({ damaged: [], missing: [], absentLayers: [] });
  });

  test('with all frees everything that can be made again, and the next use makes it again', async () => {
    const store = await temporaryStore();
    const kept = await namedImage(store, 'kept', 'k');
    await store.putRecord('steps', 'ab', { diffId: kept.layers[0]?.diffId });
    await store.lowers(kept.layers, noFetch);
    for (const layer of kept.layers) await store.compress(layer, 'gzip', { signal: never });
    const result = await store.prune({ signal: never, all: true });
    expect(result).toMatchObject({ blobs: 1, snapshots: 1, images: [] });
    expect(blobsIn(store).length).toBe(3);
    expect(await store.record('steps', 'ab')).toBeUndefined();
    const [lower] = await store.lowers(kept.layers, noFetch);
    expect(readFileSync(join(lower ?? '', 'f'), 'utf8')).toBe('k'.repeat(1000));
  });

  test('takes nothing that a living process used or made, and takes it when the process is gone', async () => {
    const root = join(temporaryFolder(), 'store');
    const builder = await openStore(root);
    const image = await namedImage(builder, 'x', 'x');
    await builder.untagImage(parseReference('x'));
    await builder.lowers(image.layers, noFetch);
    const pruner = await temporaryStore({ root });
    expect(await pruner.prune({ signal: never, all: true })).toMatchObject({ blobs: 0, snapshots: 0, reclaimed: 0 });
    const draft = await builder.draft();
    await pruner.prune({ signal: never, all: true });
    expect(existsSync(draft.upper)).toBe(true);
    await builder.close();
    expect(await pruner.prune({ signal: never, all: true })).toMatchObject({ blobs: 3, snapshots: 1 });
  });

  test('takes nothing that is old when a living process has found it and means to use it', async () => {
    const root = join(temporaryFolder(), 'store');
    const first = await openStore(root);
    const image = await namedImage(first, 'x', 'x');
    await first.untagImage(parseReference('x'));
    await first.close();
    const longAgo = Date.now() / 1000 - 5000;
    for (const name of blobsIn(first)) utimesSync(join(root, 'blobs/sha256', name), longAgo, longAgo);
    const builder = await temporaryStore({ root });
    const diffId = image.layers[0]?.diffId ?? digestOf('');
    expect(builder.hasBlob(diffId)).toBe(true);
    const pruner = await temporaryStore({ root });
    expect((await pruner.prune({ signal: never })).blobs).toBe(2);
    expect(blobsIn(pruner)).toEqual([digestHex(diffId)]);
  });

  test('and every other writer take away what killed processes left, however far those had come', async () => {
    const root = join(temporaryFolder(), 'store');
    await (await temporaryStore({ root })).putBytes('text/plain', Buffer.from('one'));
    const ingest = join(root, 'ingest');
    for (const name of ['.new-1-a', '2-b', '.dead-c', '3-d', '.new-4-e']) mkdirSync(join(ingest, name));
    for (const name of ['.dead-c', '3-d', '.new-4-e']) writeFileSync(join(ingest, name, 'owner'), '');
    for (const name of ['.dead-c', '3-d']) mkdirSync(join(ingest, name, '1', 'fs'), { recursive: true });
    const living = await openStore(root);
    await living.putBytes('text/plain', Buffer.from('two'));
    expect(readdirSync(ingest).some((name) => /^[0-9]+-[0-9a-f]{12}$/.test(name))).toBe(true);
    await living.close();
    const after = await openStore(root);
    await after.putBytes('text/plain', Buffer.from('three'));
    await after.close();
    expect(readdirSync(ingest).filter((name) => !/^[0-9]+-[0-9a-f]{12}$/.test(name))).toEqual([]);
  });

  test('leaves an image that a living process has claimed, whatever becomes of its name', async () => {
    const root = join(temporaryFolder(), 'store');
    const first = await openStore(root);
    const image = await namedImage(first, 'x', 'x');
    await first.close();
    const user = await temporaryStore({ root });
    expect(await user.resolve('x')).toEqual(image.target);
    const pruner = await temporaryStore({ root });
    await pruner.untagImage(parseReference('x'));
    expect(await pruner.prune({ signal: never, all: true })).toMatchObject({ blobs: 0 });
    await user.close();
    expect(await pruner.prune({ signal: never, all: true })).toMatchObject({ blobs: 3 });
  });

  test('leaves a cache mount that a living process was given, however old, and takes it afterwards', async () => {
    const root = join(temporaryFolder(), 'store');
    const first = await openStore(root);
    const data = await first.cacheMount('m', async (folder) => writeFileSync(join(folder, 'f'), ''), never);
    await first.close();
    const longAgo = Date.now() / 1000 - 5000;
    utimesSync(dirname(data), longAgo, longAgo);
    const user = await temporaryStore({ root });
    const refill = async (): Promise<void> => {
      throw new Error('it is there');
    };
    expect(await user.cacheMount('m', refill, never)).toBe(data);
    const pruner = await temporaryStore({ root });
    expect(await pruner.prune({ signal: never, all: true })).toMatchObject({ cacheMounts: 0 });
    expect(readdirSync(data)).toEqual(['f']);
    await user.close();
    expect(await pruner.prune({ signal: never, all: true })).toMatchObject({ cacheMounts: 1 });
    expect(existsSync(data)).toBe(false);
  });

  test('keeps, even with all, where a layer comes from that an image needs and that is not here', async () => {
    const store = await temporaryStore();
    const { layers } = await namedImage(store, 'kept', 'k');
    const [needed, other] = [layers[0]?.diffId ?? digestOf(''), digestOf('other')];
    for (const digest of [needed, other]) await store.putRecord('origins', digestHex(digest), { repositories: ['r'] });
    await store.prune({ signal: never, all: true });
    expect(await store.record('origins', digestHex(needed))).toEqual({ repositories: ['r'] });
    expect(await store.record('origins', digestHex(other))).toBeUndefined();
  });

  test('with a size keeps what was used last, and always what has a name', async () => {
    const store = await temporaryStore();
    const kept = await namedImage(store, 'kept', 'k');
    const steps: string[] = [];
    for (const n of [0, 1, 2, 3]) {
      const layer = await store.writeLayer([fileEntry('f', Buffer.alloc(1_000_000, n + 1))], { signal: never });
      await store.putRecord('steps', `k${n}`, { diffId: layer.diffId });
      await (await store.draft()).discard();
      steps.push(digestHex(layer.diffId));
    }
    await store.close();
    for (const [i, name] of steps.entries()) {
      const used = Date.now() / 1000 - 10_000 + i * (i === 0 ? 0 : 1000) + (i === 0 ? 9000 : 0);
      utimesSync(join(store.root, 'blobs/sha256', name), used, used);
    }
    const again = await temporaryStore({ root: store.root });
    await again.prune({ signal: never, keepBytes: 2_300_000 });
    // The first was used last, then the fourth.
    expect(steps.map((name) => blobsIn(again).includes(name))).toEqual([true, false, false, true]);
    await again.prune({ signal: never, keepBytes: 0 });
    expect(blobsIn(again)).toEqual(
      [kept.target, kept.config, ...kept.layers.map((l) => l.blob)].map((d) => digestHex(d.digest)).sort(),
    );
  });
});

describe('check', () => {
  test('names and drops damaged blobs, and names what was lost', async () => {
    const store = await temporaryStore();
    const one = await namedImage(store, 'one', '1');
    const two = await namedImage(store, 'two', '2');
    const layer = one.layers[0]?.diffId ?? digestOf('');
    chmodSync(store.blobPath(layer), 0o600);
    truncateSync(store.blobPath(layer), 512);
    execFileSync('rm', ['-f', store.blobPath(two.config.digest), store.blobPath(two.layers[0]?.diffId ?? layer)]);
    writeFileSync(join(store.root, 'blobs/sha256/README'), 'hello');
    const result = await store.check({ signal: never });
    expect(result.damaged).toEqual([{ digest: layer, images: ['docker.io/library/one:latest'] }]);
    const images = ['docker.io/library/two:latest'];
    expect(result.missing).toEqual([two.config.digest, two.layers[0]?.diffId].map((digest) => ({ digest, images })));
    expect(result.absentLayers).toEqual([]);
    expect(result.strangers).toEqual([join(store.root, 'blobs/sha256/README')]);
    expect(store.hasBlob(layer)).toBe(false);
    const again = await store.check({ signal: never });
    expect(again.damaged).toEqual([]);
    expect(again.missing.map((finding) => finding.digest)).toContain(layer);
  });

  test('tells a layer that was lost from one that was never here, whatever else the image is called', async () => {
    const store = await temporaryStore();
    const image = await putImage(store, [[fileEntry('base', 'b')], [fileEntry('own', 'o')]]);
    const [base, own] = image.layers.map((layer) => layer.diffId);
    if (base === undefined || own === undefined) throw new Error('no layers');
    await store.open({ mediaType: '', digest: base, size: 0 }, never).catch(() => {});
    unlinkSync(store.blobPath(base));
    await store.tagImage(image.target, parseReference('app:1'), { mayLackLayers: true });
    await store.tagImage(image.target, parseReference('app:2'));
    const images = ['docker.io/library/app:1', 'docker.io/library/app:2'];
    expect(await store.check({ signal: never })).toMatchObject({
      missing: [],
      absentLayers: [{ digest: base, images }],
    });
    unlinkSync(store.blobPath(own));
    expect(await store.check({ signal: never })).toMatchObject({
      missing: [{ digest: own, images }],
      absentLayers: [{ digest: base, images }],
    });
    // A name given to what lost a layer does not make it whole.
    await store.tagImage(image.target, parseReference('app:3'));
    expect((await store.check({ signal: never })).missing).toEqual([
      { digest: own, images: [...images, 'docker.io/library/app:3'] },
    ]);
  });
});

describe('usage', () => {
  test('accounts for images, shared parts, cache, snapshots and mounts as du does', async () => {
    const store = await temporaryStore();
    const big = Buffer.alloc(600_000, 7);
    const one = await putImage(store, [[fileEntry('big', big)], [fileEntry('a', 'a')]]);
    const two = await putImage(store, [[fileEntry('big', big)], [fileEntry('b', 'b')]]);
    await store.tagImage(one.target, parseReference('one'));
    await store.tagImage(two.target, parseReference('two'));
    await store.lowers(one.layers, noFetch);
    await store.writeLayer([fileEntry('cached', big)], { signal: never });
    const usage = await store.usage({ signal: never });
    const row = (kind: string) => usage.rows.find((item) => item.kind === kind);
    expect(row('images')).toMatchObject({ count: 2, active: 2, reclaimable: 0 });
    expect(row('snapshots')?.count).toBe(2);
    expect(row('snapshots')?.size).toBeGreaterThan(600_000);
    expect(row('step cache')?.reclaimable).toBeGreaterThan(600_000);
    const images = usage.images.map(({ name, size, shared }) => ({
      name,
      isBig: size > shared,
      sharesBig: shared > 600_000,
    }));
    expect(images).toEqual([
      { name: 'docker.io/library/one:latest', isBig: true, sharesBig: true },
      { name: 'docker.io/library/two:latest', isBig: true, sharesBig: true },
    ]);
    const du = Number(
      execFileSync('du', ['-s', '-B1', join(store.root, 'snapshots')], { encoding: 'utf8' }).split('\t')[0],
    );
    expect(row('snapshots')?.size).toBe(du - statSync(join(store.root, 'snapshots')).blocks * 512);
  });
});

describe('images', () => {
  test('are found by short and full name, ID, the beginning of one, and digest', async () => {
    const store = await temporaryStore();
    const one = await namedImage(store, 'app:1', '1');
    const two = await namedImage(store, 'localhost:5000/app:1', '2');
    const cases: readonly [string, typeof one][] = [
      ['app:1', one],
      ['docker.io/library/app:1', one],
      ['localhost:5000/app:1', two],
      [one.config.digest, one],
      [digestHex(two.config.digest), two],
      [digestHex(two.config.digest).slice(0, 12), two],
      [`sha256:${digestHex(one.config.digest).slice(0, 10)}`, one],
      [two.target.digest, two],
      [`localhost:5000/app@${two.target.digest}`, two],
    ];
    for (const [text, image] of cases) {
      expect((await store.findImage(text))?.target.digest, text).toBe(image.target.digest);
    }
    for (const text of ['app:2', 'other', 'ffffffffffff', 'sha256:zz', '', '../..', digestOf('none')]) {
      expect(await store.findImage(text), text).toBeUndefined();
    }
    await expect(store.resolve('app:2')).rejects.toMatchObject({ code: 'image-not-found' });
  });

  test('whose IDs begin alike are not guessed between', async () => {
    const store = await temporaryStore();
    const ids: string[] = [];
    for (let n = 0; n < 20; n += 1) ids.push(digestHex((await namedImage(store, `app:${n}`, `${n}`)).config.digest));
    const twice = [...'0123456789abcdef'].find((digit) => ids.filter((id) => id.startsWith(digit)).length > 1) ?? '';
    await expect(store.findImage(twice)).rejects.toMatchObject({ code: 'image-ambiguous' });
  });

  test('keep the time they were named, change hands with their name, and end with their last one', async () => {
    let now = 1000;
    const store = await temporaryStore({ now: () => now });
    const one = await namedImage(store, 'app', '1');
    now = 2000;
    await store.tagImage(one.target, parseReference('app'));
    expect(await store.images()).toEqual([{ name: 'docker.io/library/app:latest', target: one.target, tagged: 1000 }]);
    const two = await namedImage(store, 'app', '2');
    expect((await store.images()).map((image) => image.target.digest)).toEqual([two.target.digest]);
    expect(await store.untagImage(parseReference('app'))).toBe(true);
    expect(await store.untagImage(parseReference('app'))).toBe(false);
    expect(await store.images()).toEqual([]);
    await store.listUnnamed(two.target);
    expect(await store.images()).toEqual([{ name: undefined, target: two.target, tagged: 2000 }]);
    await store.tagImage(two.target, parseReference('again'));
    expect((await store.images()).map((image) => image.name)).toEqual(['docker.io/library/again:latest']);
    expect(await store.unlistImage(two.target.digest)).toEqual(['docker.io/library/again:latest']);
  });

  test('cannot be named when their manifest is not here, and a damaged list is not overwritten', async () => {
    const store = await temporaryStore();
    const ghost = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digestOf('ghost'), size: 5 };
    await expect(store.tagImage(ghost, parseReference('app'))).rejects.toMatchObject({ code: 'blob-missing' });
    const image = await namedImage(store, 'app', '1');
    writeFileSync(join(store.root, 'index.json'), '{"manifests":');
    await expect(store.tagImage(image.target, parseReference('b'))).rejects.toMatchObject({
      code: 'store-index-damaged',
    });
    expect(readFileSync(join(store.root, 'index.json'), 'utf8')).toBe('{"manifests":');
  });
});

describe('records', () => {
  test('are read back by others, the last one put, and a damaged one is none', async () => {
    const root = join(temporaryFolder(), 'store');
    const store = await openStore(root);
    await store.putRecord('steps', 'ab', { n: 1 });
    await store.putRecord('steps', 'ab', { n: 2 });
    expect(await store.record('steps', 'ab')).toEqual({ n: 2 });
    await store.close();
    const other = await temporaryStore({ root });
    expect(await other.record('steps', 'ab')).toEqual({ n: 2 });
    const path = join(root, 'cache/steps/ab');
    for (const text of [
      '',
      'x',
      readFileSync(path, 'utf8').slice(0, -1),
      readFileSync(path, 'utf8').replace('2', '3'),
    ]) {
      writeFileSync(path, text);
      expect(await other.record('steps', 'ab')).toBeUndefined();
    }
    await expect(other.record('steps', '../../index.json')).rejects.toMatchObject({ code: 'internal' });
    await expect(other.putRecord('../blobs', 'x', 1)).rejects.toMatchObject({ code: 'internal' });
  });
});
