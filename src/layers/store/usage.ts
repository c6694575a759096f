/** What a store holds and how much of it could be freed (`tsbuild df`). Sizes are bytes on disk. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type Digest, isDigest } from '../../image/index.ts';
import { diskSize } from './disk-size.ts';
import { namesIn } from './if-there.ts';
import { allRecords, type Reachable, reachableFrom } from './reachable.ts';
import { snapshotFiles } from './snapshots.ts';
import type { StoreParts } from './store-parts.ts';

export interface UsageRow {
  readonly kind: 'images' | 'step cache' | 'snapshots' | 'cache mounts' | 'drafts';
  readonly count: number;
  /** How many of them something needs. */
  readonly active: number;
  readonly size: number;
  /** What `prune` with `all` would free. */
  readonly reclaimable: number;
}

export interface ImageUsage {
  readonly name: string | undefined;
  readonly target: Digest;
  /** Of what is in the store. */
  readonly size: number;
  /** Shared with other images. */
  readonly shared: number;
  /** Milliseconds since 1970. */
  readonly tagged: number;
}

export interface Usage {
  readonly rows: readonly UsageRow[];
  readonly images: readonly ImageUsage[];
  readonly cacheMounts: readonly { readonly name: string; readonly size: number }[];
}

export async function usage(parts: StoreParts, { signal }: { readonly signal: AbortSignal }): Promise<Usage> {
  const { layout } = parts;
  await parts.pending.settle();
  const listed = parts.images.images();
  const reachable = reachableFrom(layout, listed);
  const sizes = blobSizes(parts);
  const sizeOf = (digest: Digest) => sizes.get(digest) ?? 0;
  const ofImages = sum([...reachable.blobs.keys()].map(sizeOf));
  const ofBlobs = sum(sizes.values());
  const records = [...allRecords(layout)];

  const snapshots = [...snapshotFiles(layout)];
  const snapshotSize = await sizeBelow(layout.snapshots, signal);
  const mounts: { name: string; size: number }[] = [];
  for (const name of namesIn(layout.cacheMounts)) {
    mounts.push({ name, size: await diskSize(join(layout.cacheMounts, name), signal) });
  }
  const mountSize = sum(mounts.map((mount) => mount.size));
  const drafts = await sizeBelow(layout.ingest, signal);
  const downloads = await sizeBelow(layout.downloads, signal);
  let cacheSize = ofBlobs - ofImages;
  // The folders of its rooms stay: what they take is nobody's to free.
  for (const room of namesIn(layout.cache)) cacheSize += await sizeBelow(join(layout.cache, room), signal);
  const targets = new Map(listed.map((image) => [image.name ?? image.target.digest, image.target.digest]));
  const images = listed.map((image) => imageUsage(image, targets, reachable, sizeOf));
  const nameless = images.filter((image) => image.name === undefined);
  const rows: UsageRow[] = [
    {
      kind: 'images',
      count: new Set(listed.map((image) => image.target.digest)).size,
      active: new Set(listed.flatMap((image) => (image.name ? [image.target.digest] : []))).size,
      size: ofImages,
      reclaimable: sum(nameless.map((image) => image.size - image.shared)),
    },
    { kind: 'step cache', count: records.length, active: 0, size: cacheSize, reclaimable: cacheSize },
    { kind: 'snapshots', count: snapshots.length, active: 0, size: snapshotSize, reclaimable: snapshotSize },
    { kind: 'cache mounts', count: mounts.length, active: 0, size: mountSize, reclaimable: mountSize },
    {
      kind: 'drafts',
      count: namesIn(layout.ingest).length + namesIn(layout.downloads).length,
      active: namesIn(layout.ingest).length,
      size: drafts + downloads,
      reclaimable: downloads,
    },
  ];
  return { rows, images, cacheMounts: mounts };
}

function imageUsage(
  image: { readonly name: string | undefined; readonly target: { readonly digest: Digest }; readonly tagged: number },
  targets: ReadonlyMap<string, Digest>,
  reachable: Reachable,
  sizeOf: (digest: Digest) => number,
): ImageUsage {
  const label = image.name ?? image.target.digest;
  const own = [...reachable.blobs].filter(([, blob]) => blob.images.includes(label));
  // Two names of one image share nothing.
  const shared = own.filter(([, blob]) => new Set(blob.images.map((name) => targets.get(name))).size > 1);
  return {
    name: image.name,
    target: image.target.digest,
    size: sum(own.map(([digest]) => sizeOf(digest))),
    shared: sum(shared.map(([digest]) => sizeOf(digest))),
    tagged: image.tagged,
  };
}

function blobSizes({ layout }: StoreParts): Map<Digest, number> {
  const sizes = new Map<Digest, number>();
  for (const algorithm of namesIn(layout.blobs)) {
    for (const name of namesIn(join(layout.blobs, algorithm))) {
      const digest = `${algorithm}:${name}`;
      const status = statSync(join(layout.blobs, algorithm, name), { throwIfNoEntry: false });
      if (status && isDigest(digest)) sizes.set(digest, status.blocks * 512);
    }
  }
  return sizes;
}

async function sizeBelow(folder: string, signal: AbortSignal): Promise<number> {
  let total = 0;
  for (const name of namesIn(folder)) total += await diskSize(join(folder, name), signal);
  return total;
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
