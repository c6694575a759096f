import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { chainIds, digestHex, digestOf, mediaTypes, parseReference, readBlob } from '../../../src/image/index.ts';
import { openStore } from '../../../src/layers/index.ts';
import {
  bytePath,
  collect,
  directoryEntry,
  fileEntry,
  never,
  putImage,
  temporaryFolder,
  temporaryStore,
} from '../../support/store.ts';

const noFetch = {
  ensure: async (): Promise<void> => {
    throw new Error('nothing should be fetched');
  },
  signal: never,
};

describe('a store', () => {
  test('is an OCI image layout that skopeo and umoci read as it stands, image by image', async () => {
    const store = await temporaryStore();
    const one = await putImage(store, [[directoryEntry('a'), fileEntry('a/b', 'hello')]]);
    const two = await putImage(store, [[fileEntry('c', 'x')]]);
    await store.tagImage(one.target, parseReference('app:1'));
    await store.tagImage(one.target, parseReference('localhost:5000/team/app:1'));
    await store.tagImage(two.target, parseReference('other'));
    const names = ['docker.io/library/app:1', 'localhost:5000/team/app:1', 'docker.io/library/other:latest'];
    expect(
      execFileSync('umoci', ['ls', '--layout', store.root], { encoding: 'utf8' }).trim().split('\n').sort(),
    ).toEqual(names.toSorted());
    for (const name of names) {
      const inspected = execFileSync('skopeo', ['inspect', '--raw', `oci:${store.root}:${name}`]);
      expect(digestOf(inspected)).toBe(name.includes('other') ? two.target.digest : one.target.digest);
    }
    const bundle = join(temporaryFolder(), 'bundle');
    execFileSync('umoci', ['unpack', '--image', `${store.root}:${names[1]}`, bundle]);
    expect(readFileSync(join(bundle, 'rootfs/a/b'), 'utf8')).toBe('hello');
  });

  test('shows what skopeo and umoci put into it, and keeps it when it writes names itself', async () => {
    const store = await temporaryStore();
    const image = await putImage(store, [[fileEntry('c', 'x')]]);
    await store.tagImage(image.target, parseReference('app:1'));
    execFileSync('skopeo', [
      'copy',
      '-q',
      `oci:${store.root}:docker.io/library/app:1`,
      `oci:${store.root}:team/copy:2`,
    ]);
    execFileSync('umoci', ['tag', '--image', `${store.root}:docker.io/library/app:1`, 'plain']);
    await store.tagImage(image.target, parseReference('app:3'));
    expect((await store.images()).map((item) => item.name).sort()).toEqual([
      'docker.io/library/app:1',
      'docker.io/library/app:3',
      'docker.io/library/plain:latest',
      'docker.io/team/copy:2',
    ]);
    expect((await store.findImage('team/copy:2'))?.target.digest).toBe(image.target.digest);
    execFileSync('skopeo', ['inspect', `oci:${store.root}:plain`]);
  });

  test('is for its owner alone, whatever the umask', async () => {
    const before = process.umask(0);
    try {
      const store = await temporaryStore();
      const image = await putImage(store, [[fileEntry('c', 'x')]]);
      await store.tagImage(image.target, parseReference('app:1'));
      await store.putRecord('steps', 'ab', { a: 1 });
      await store.lowers(image.layers, noFetch);
      await using _lock = await store.lock('x', 'shared', never);
      const open = execFileSync('find', [store.root, '-path', '*/fs', '-prune', '-o', '-perm', '/077', '-print'], {
        encoding: 'utf8',
      });
      expect(open).toBe('');
      expect(statSync(store.blobPath(image.config.digest)).mode & 0o777).toBe(0o400);
    } finally {
      process.umask(before);
    }
  });

  test('is refused when it belongs to somebody else or everybody may write to it', async () => {
    const folder = temporaryFolder();
    const foreign = join(folder, 'foreign');
    await (await openStore(foreign)).close();
    execFileSync('chown', ['12345', foreign]);
    await expect(openStore(foreign)).rejects.toMatchObject({ code: 'store-foreign-owner' });
    const open = join(folder, 'open');
    mkdirSync(open);
    chmodSync(open, 0o1777);
    await expect(openStore(open)).rejects.toMatchObject({ code: 'store-foreign-owner' });
    expect(readdirSync(open)).toEqual([]);
    const shared = join(folder, 'shared');
    mkdirSync(shared);
    chmodSync(shared, 0o2775);
    // Of one's own group, as an umask of 002 leaves it.
    await (await openStore(shared)).close();
    execFileSync('chgrp', ['12345', shared]);
    await expect(openStore(shared)).rejects.toMatchObject({ code: 'store-foreign-owner' });
  });

  test('is never made out of a folder that holds something else', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'precious'), 'x');
    await expect(openStore(folder)).rejects.toMatchObject({ code: 'store-not-a-layout' });
    expect(readdirSync(folder)).toEqual(['precious']);
  });

  test('leaves no trace of a command that only reads, and none of drafts once closed', async () => {
    const root = join(temporaryFolder(), 'store');
    const first = await openStore(root);
    const draft = await first.draft();
    expect(existsSync(draft.upper)).toBe(true);
    await first.close();
    expect(readdirSync(join(root, 'ingest'))).toEqual([]);
    const second = await openStore(root);
    await second.images();
    await second.record('steps', 'none');
    expect(second.hasBlob(digestOf('nothing'))).toBe(false);
    expect(readdirSync(join(root, 'ingest'))).toEqual([]);
    await second.close();
  });

  test('comes back when everything but blobs and index.json was deleted by hand', async () => {
    const store = await temporaryStore();
    const image = await putImage(store, [[fileEntry('c', 'x')]]);
    await store.tagImage(image.target, parseReference('app:1'));
    await store.close();
    for (const name of ['cache', 'snapshots', 'cache-mounts', 'ingest', 'locks']) {
      execFileSync('rm', ['-rf', join(store.root, name)]);
    }
    const again = await temporaryStore({ root: store.root });
    const found = await again.findImage('app:1');
    expect(found?.target.digest).toBe(image.target.digest);
    const [lower] = await again.lowers(image.layers, noFetch);
    expect(readFileSync(join(lower ?? '', 'c'), 'utf8')).toBe('x');
    await again.putRecord('steps', 'k', 1);
    await again.tagImage(image.target, parseReference('app:2'));
    expect((await again.images()).length).toBe(2);
  });
});

describe('blobs', () => {
  test('are taken from a source once, verified, and are read back', async () => {
    const store = await temporaryStore();
    const bytes = Buffer.alloc(3_000_000, 'abc');
    const descriptor = { mediaType: 'text/plain', digest: digestOf(bytes), size: bytes.length };
    let opened = 0;
    const open = async () => {
      opened += 1;
      return (async function* () {
        for (let i = 0; i < bytes.length; i += 100_000) yield bytes.subarray(i, i + 100_000);
      })();
    };
    const progress: number[] = [];
    const outcomes = await Promise.all([
      store.put(descriptor, open, { signal: never, onProgress: (done) => progress.push(done) }),
      store.put(descriptor, open, { signal: never }),
    ]);
    expect(outcomes.sort()).toEqual(['exists', 'written']);
    expect(opened).toBe(1);
    expect(progress.at(-1)).toBe(bytes.length);
    expect((await collect(await store.open(descriptor, never))).equals(bytes)).toBe(true);
  });

  test('that are not what their descriptor says are refused and leave nothing', async () => {
    const store = await temporaryStore();
    const give = (text: string) => async () =>
      (async function* () {
        yield Buffer.from(text);
      })();
    const wanted = { mediaType: 'text/plain', digest: digestOf('right'), size: 5 };
    for (const wrong of ['wrong', 'righ', 'rightt']) {
      await expect(store.put(wanted, give(wrong), { signal: never })).rejects.toMatchObject({
        code: 'blob-mismatch',
        message: expect.stringContaining(wanted.digest),
      });
    }
    expect(store.hasBlob(wanted.digest)).toBe(false);
    expect(await store.put(wanted, give('right'), { signal: never })).toBe('written');
  });

  test('are hashed as they stream when their digest is not known', async () => {
    const store = await temporaryStore();
    const chunks = (async function* () {
      yield Buffer.from('he');
      yield Buffer.from('llo');
    })();
    const descriptor = await store.putStream('text/plain', chunks, never);
    expect(descriptor).toEqual({ mediaType: 'text/plain', digest: digestOf('hello'), size: 5 });
    expect((await readBlob(store, descriptor, never)).toString()).toBe('hello');
  });

  test('whose source fails leave nothing behind', async () => {
    const store = await temporaryStore();
    const failing = (async function* () {
      yield Buffer.from('half');
      throw new Error('the line went dead');
    })();
    await expect(store.putStream('text/plain', failing, never)).rejects.toThrow('the line went dead');
    const folders = readdirSync(join(store.root, 'ingest'));
    expect(folders.flatMap((name) => readdirSync(join(store.root, 'ingest', name)))).toEqual(['owner']);
  });

  test.each([
    ['truncated', (path: string) => truncateSync(path, 2)],
    ['emptied', (path: string) => truncateSync(path, 0)],
    ['grown', (path: string) => writeFileSync(path, 'hello, world', { flag: 'w' })],
    ['flipped', (path: string) => writeFileSync(path, 'hellp')],
  ])('that were %s are named, dropped and can be put again', async (_, damage) => {
    const store = await temporaryStore();
    const descriptor = await store.putBytes('text/plain', Buffer.from('hello'));
    await readBlob(store, descriptor, never);
    chmodSync(store.blobPath(descriptor.digest), 0o600);
    damage(store.blobPath(descriptor.digest));
    await expect(readBlob(store, descriptor, never)).rejects.toMatchObject({
      code: 'blob-damaged',
      message: expect.stringContaining(descriptor.digest),
    });
    expect(store.hasBlob(descriptor.digest)).toBe(false);
    await expect(readBlob(store, descriptor, never)).rejects.toMatchObject({ code: 'blob-missing' });
    await store.putBytes('text/plain', Buffer.from('hello'));
    expect((await readBlob(store, descriptor, never)).toString()).toBe('hello');
  });

  test('stay when only the descriptor is wrong about their size', async () => {
    const store = await temporaryStore();
    const descriptor = await store.putBytes('text/plain', Buffer.from('hello'));
    for (const size of [0, 4, 600]) {
      await expect(readBlob(store, { ...descriptor, size }, never)).rejects.toMatchObject({ code: 'blob-mismatch' });
    }
    expect((await readBlob(store, descriptor, never)).toString()).toBe('hello');
  });
});

describe('layers', () => {
  test('are unpacked lowest first, once, whoever asks, and again after a reboot', async () => {
    const store = await temporaryStore();
    const image = await putImage(store, [[directoryEntry('d'), fileEntry('d/a', '1')], [fileEntry('d/b', '2')]]);
    const [first, second] = await Promise.all([
      store.lowers(image.layers, noFetch),
      store.lowers(image.layers, noFetch),
    ]);
    expect(first).toEqual(second);
    const ids = chainIds(image.layers.map((layer) => layer.diffId));
    expect(first.map((path) => basename(dirname(path), '.user'))).toEqual(ids.map(digestHex).reverse());
    expect(readdirSync(join(first[0] ?? '', 'd'))).toEqual(['b']);
    expect(readdirSync(join(first[1] ?? '', 'd'))).toEqual(['a']);
    expect(statSync(first[0] ?? '').mode & 0o777).toBe(0o755);
    // A power loss may have torn what an earlier boot wrote.
    writeFileSync(join(first[1] ?? '', '../boot'), 'an earlier boot trusted.');
    writeFileSync(join(first[1] ?? '', 'd/a'), 'torn');
    const later = await openStore(store.root);
    await later.lowers(image.layers, noFetch);
    await later.close();
    expect(readFileSync(join(first[1] ?? '', 'd/a'), 'utf8')).toBe('1');
  });

  test('make a step see the root directory as the base has it, time and mode included', async () => {
    const store = await temporaryStore();
    const root = { ...directoryEntry(''), mode: 0o1750, mtime: 1_234_567_890_123_456_789n };
    const image = await putImage(store, [[root, fileEntry('a', '1')], [fileEntry('b', '2')]]);
    const lowers = await store.lowers(image.layers, noFetch);
    execFileSync('setfattr', ['-n', 'user.kept', '-v', 'yes', lowers[0] ?? '']);
    const draft = await store.draft(lowers[0]);
    const { mode, mtimeNs } = statSync(draft.upper, { bigint: true });
    expect([Number(mode) & 0o7777, mtimeNs]).toEqual([0o1750, root.mtime]);
    expect(execFileSync('getfattr', ['-n', 'user.kept', '--only-values', draft.upper]).toString()).toBe('yes');
    await draft.discard();
    expect([existsSync(draft.upper), existsSync(draft.work)]).toEqual([false, false]);
  });

  test('may lie on a scaffold of places to mount at, made once and gone with the store', async () => {
    const store = await temporaryStore();
    const scaffold = store.scaffold(['proc/', 'etc/hosts', 'etc/hostname']);
    expect(readdirSync(scaffold, { recursive: true }).sort()).toEqual(['etc', 'etc/hostname', 'etc/hosts', 'proc']);
    expect(store.scaffold(['proc/', 'etc/hosts', 'etc/hostname'])).toBe(scaffold);
    await store.close();
    expect(existsSync(scaffold)).toBe(false);
  });

  test('are fetched only when they are needed, and again when they turn out damaged', async () => {
    const origin = await temporaryStore();
    const image = await putImage(origin, [[fileEntry('a', '1'.repeat(5000))], [fileEntry('b', '2')]]);
    const gzipped = await Promise.all(
      image.layers.map(async (layer) => ({ ...layer, blob: await origin.compress(layer, 'gzip', { signal: never }) })),
    );
    const store = await temporaryStore();
    const fetched: string[] = [];
    const options = {
      signal: never,
      ensure: async ({ blob }: (typeof gzipped)[number], signal: AbortSignal) => {
        fetched.push(blob.digest);
        await store.put(blob, () => origin.open(blob, signal), { signal });
      },
    };
    await store.lowers(gzipped, options);
    expect(fetched).toEqual(gzipped.map((layer) => layer.blob.digest));
    // The blob is there now: its tree is read without fetching, and its content unpacked from it on demand.
    const tree = await store.tree(gzipped, options);
    expect(tree.list(bytePath('')).map((entry) => entry.path)).toEqual(['a', 'b']);
    expect(store.hasBlob(image.layers[0]?.diffId ?? digestOf(''))).toBe(false);
    expect((await tree.readFile(bytePath('b'), 10))?.toString()).toBe('2');
    expect(store.hasBlob(image.layers[1]?.diffId ?? digestOf(''))).toBe(true);
    expect(fetched.length).toBe(2);
    // Damage what remains compressed, drop its snapshot: it is fetched once more.
    const damaged = store.blobPath(gzipped[0]?.blob.digest ?? digestOf(''));
    chmodSync(damaged, 0o600);
    truncateSync(damaged, 30);
    execFileSync('rm', ['-rf', join(store.root, 'snapshots')]);
    const lowers = await store.lowers(gzipped, options);
    expect(readFileSync(join(lowers.at(-1) ?? '', 'a'), 'utf8')).toBe('1'.repeat(5000));
    expect(fetched.length).toBe(3);
  });

  test('are looked into again when their index is damaged', async () => {
    const store = await temporaryStore();
    const image = await putImage(store, [[fileEntry('a', '1')]]);
    await store.tree(image.layers, noFetch);
    const folder = join(store.root, 'cache/layer-index');
    const [name = ''] = readdirSync(folder);
    for (const text of ['', 'x'.repeat(100)]) {
      writeFileSync(join(folder, name), text);
      expect((await store.tree(image.layers, noFetch)).list(bytePath('')).length).toBe(1);
    }
  });

  test('copied out of a compressed layer bring its bytes along', async () => {
    const store = await temporaryStore();
    const image = await putImage(store, [[fileEntry('a', 'content of a')]]);
    const [layer] = image.layers;
    if (!layer) throw new Error('no layer');
    const blob = await store.compress(layer, 'zstd', { signal: never });
    execFileSync('rm', ['-f', store.blobPath(layer.diffId)]);
    const tree = await store.tree([{ ...layer, blob }], noFetch);
    const entry = tree.lookup(bytePath('a'));
    if (!entry?.content) throw new Error('no entry');
    expect(await store.hashContents([entry.content], never)).toEqual([digestOf('content of a')]);
    const written = await store.writeLayer([entry], { signal: never, hashFiles: true });
    expect(written.diffId).toBe(layer.diffId);
    expect(`sha256:${Buffer.from(written.fileDigests ?? []).toString('hex')}`).toBe(digestOf('content of a'));
  });

  test('of a RUN become a blob and a snapshot', async () => {
    const store = await temporaryStore();
    const base = await putImage(store, [[fileEntry('a', '1')]]);
    const lowers = await store.lowers(base.layers, noFetch);
    const draft = await store.draft();
    writeFileSync(join(draft.upper, 'b'), '2');
    const layer = await draft.diff({ signal: never, lowers });
    const [parent] = base.layers;
    if (!parent) throw new Error('no layer');
    const chain = [parent, layer];
    const chainId = chainIds(chain.map((item) => item.diffId))[1];
    if (!chainId) throw new Error('no chain');
    await draft.commit(chainId);
    const name = readdirSync(join(store.root, 'snapshots')).find((one) => one.startsWith(digestHex(chainId)));
    const before = statSync(join(store.root, 'snapshots', name ?? '', 'fs')).ino;
    const [top] = await store.lowers(chain, noFetch);
    expect(statSync(top ?? '').ino).toBe(before);
    const tree = await store.tree(chain, noFetch);
    expect(tree.list(bytePath('')).map((entry) => entry.path)).toEqual(['a', 'b']);
    const discarded = await store.draft();
    await discarded.discard();
    expect(existsSync(discarded.upper)).toBe(false);
  });

  test('small and many are mounted as few, and again after a prune of what can be made again', async () => {
    const store = await temporaryStore();
    const { layers, target } = await putImage(
      store,
      Array.from({ length: 40 }, (_, i) => [fileEntry(`f${i}`, `${i}`), fileEntry('last', `${i}`)]),
    );
    await store.tagImage(target, parseReference('many'));
    const names = (lowers: readonly string[]) => lowers.flatMap((lower) => readdirSync(lower)).sort();
    const expected = [...Array.from({ length: 40 }, (_, i) => `f${i}`), ...Array(10).fill('last')].sort();
    for (const isFirst of [true, false]) {
      const lowers = await store.lowers(layers, noFetch);
      expect(lowers.length).toBe(8 + 2);
      expect(names(lowers)).toEqual(expected);
      expect(lowers.map((lower) => readFileSync(join(lower, 'last'), 'utf8'))).toEqual(
        [39, 38, 37, 36, 35, 34, 33, 32, 31, 15].map(String),
      );
      if (isFirst) await store.prune({ all: true, signal: never });
    }
  });

  test('that are larger than their blobs say stay apart', async () => {
    const store = await temporaryStore();
    const { layers } = await putImage(
      store,
      Array.from({ length: 16 }, (_, i) => [fileEntry(`f${i}`, Buffer.alloc(100_000))]),
    );
    const small = layers.map(({ diffId, blob }) => ({ diffId, blob: { ...blob, size: 500 } }));
    expect((await store.lowers(small, noFetch)).length).toBe(16);
    expect((await store.lowers(small, noFetch)).length).toBe(16);
    expect(readdirSync(join(store.root, 'snapshots')).length).toBe(16);
  });

  test('that nobody waits for any more are not unpacked on', async () => {
    const store = await temporaryStore();
    const stop = new AbortController();
    const layer = {
      diffId: digestOf('x'),
      blob: { mediaType: mediaTypes.ociLayerGzip, digest: digestOf('y'), size: 1 },
    };
    const waiting = store.lowers([layer], {
      signal: stop.signal,
      ensure: (_, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    });
    stop.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
  });
});
