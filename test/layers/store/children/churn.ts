/**
 * One of several processes that work on one store: builds small images, names them, takes names off, compresses,
 * unpacks, prunes. Prints `ready`, then `tagged NAME DIGEST` and `untagged NAME` after each has happened.
 * Arguments: the store, a name for this process, the number of rounds, a seed.
 */
import { statSync } from 'node:fs';
import { bytePathFromText } from '../../../../src/core/index.ts';
import {
  mediaTypes,
  parseReference,
  scratchConfig,
  serializeImageConfig,
  serializeManifest,
} from '../../../../src/image/index.ts';
import { type LayerEntry, openStore } from '../../../../src/layers/index.ts';

const [root = '', self = '', rounds = '10', seed = '1'] = process.argv.slice(2);
const signal = new AbortController().signal;
let state = Number(seed);
const random = (below: number): number => {
  state = (state * 1103515245 + 12345) % 2147483648;
  return Math.floor((state / 2147483648) * below);
};
const say = (line: string): Promise<void> =>
  new Promise((resolve) => process.stdout.write(`${line}\n`, () => resolve()));

const file = (path: string, text: string): LayerEntry => {
  const bytes = Buffer.from(text);
  const common = { mode: 0o644, uid: 0, gid: 0, mtime: 1_700_000_000_000_000_000n } as const;
  return {
    ...common,
    path: bytePathFromText(path),
    kind: 'file',
    size: bytes.length,
    content: { kind: 'bytes', bytes },
  };
};
const notFetched = async (): Promise<void> => {
  throw new Error('nothing is to be fetched');
};

/** Inode by path: a step may have mounted it, so what was handed out stays until this process ends, or prunes. */
const lowersInUse = new Map<string, bigint>();
const useLowers = async (layers: Parameters<typeof store.lowers>[0]): Promise<void> => {
  for (const path of await store.lowers(layers, { signal, ensure: notFetched })) {
    lowersInUse.set(path, statSync(path, { bigint: true }).ino);
  }
};

const store = await openStore(root, { workers: 1 });
await say('ready');
for (let round = 0; round < Number(rounds); round += 1) {
  const name = `${self}:${random(4)}`;
  switch (random(6)) {
    case 0:
      // What it used until now is garbage to a process that prunes.
      lowersInUse.clear();
      await store.prune({ signal, all: random(2) === 0 });
      break;
    case 1:
      if (await store.untagImage(parseReference(name))) await say(`untagged ${name}`);
      break;
    default: {
      // Few different layers: the processes make, use and prune the same blobs at the same time.
      const layers = [];
      for (const path of ['a', 'b']) {
        const step = `${path}${random(5)}`;
        const known = (await store.record('steps', step)) as { diffId: never; size: number } | undefined;
        if (known && store.hasBlob(known.diffId)) {
          const blob = { mediaType: mediaTypes.ociLayerTar, digest: known.diffId, size: known.size };
          layers.push({ diffId: known.diffId, blob });
          continue;
        }
        const layer = await store.writeLayer([file(path, step.repeat(20_000))], { signal });
        await store.putRecord('steps', step, { diffId: layer.diffId, size: layer.blob.size });
        layers.push(layer);
      }
      if (random(3) === 0) await useLowers(layers);
      const blobs = [];
      for (const layer of layers) {
        blobs.push(random(2) === 0 ? await store.compress(layer, 'gzip', { signal }) : layer.blob);
      }
      const config = await store.putBytes(
        mediaTypes.ociConfig,
        serializeImageConfig({
          ...scratchConfig({ os: 'linux', architecture: 'amd64' }),
          rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
        }),
      );
      const mediaType = mediaTypes.ociManifest;
      const manifest = serializeManifest({ kind: 'manifest', mediaType, config, layers: blobs });
      const target = await store.putBytes(mediaType, manifest);
      await store.tagImage(target, parseReference(name));
      await say(`tagged ${name} ${target.digest}`);
    }
  }
}
for (const [path, inode] of lowersInUse) {
  const now = statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
  if (now !== inode) throw new Error(`${path} was taken away under its user`);
}
await store.close();
