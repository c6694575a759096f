/**
 * Frees what nobody needs: what no name and no record needs; with `all`, everything that can be made or fetched again;
 * with `keepBytes`, `all` or not, the least recently used of that until the store is small enough.
 * Invariants: what an image with a name needs stays; what any process used or made since the oldest living one made
 * itself known stays (usage-marks.ts), so a prune beside running builds takes nothing from them. A removal is a rename
 * out of the way under the lock against marking, and may then be interrupted at any instant.
 */
import { lstatSync, renameSync, unlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemErrorCode, throwIfAborted } from '../../core/index.ts';
import { type Digest, isDigest } from '../../image/index.ts';
import type { StoredImage } from '../types.ts';
import { diskSize } from './disk-size.ts';
import { removeAbandonedDownloads } from './downloads.ts';
import { storeFailure } from './failures.ts';
import { namesIn } from './if-there.ts';
import { tryLock } from './kernel-lock.ts';
import { liveSince, removeDead } from './presence.ts';
import { allRecords, contextHashRoom, layerIndexRoom, reachableFrom, type StoredRecord } from './reachable.ts';
import { removeTree } from './remove-tree.ts';
import { type SnapshotFile, snapshotFiles } from './snapshots.ts';
import type { StoreParts } from './store-parts.ts';
import { lockForRemoval } from './usage-marks.ts';

export interface PruneOptions {
  /** Also what is only kept to save work: records of steps, snapshots, uncompressed copies, cache mounts. */
  readonly all?: boolean;
  /** Bytes on disk the store may keep: of what `all` would free, no more is taken. Images with a name may exceed it. */
  readonly keepBytes?: number;
  readonly signal: AbortSignal;
}

export interface PruneResult {
  /** Bytes on disk. */
  readonly reclaimed: number;
  /** Images without a name, taken off the list. */
  readonly images: readonly Digest[];
  readonly blobs: number;
  readonly snapshots: number;
  readonly records: number;
  readonly cacheMounts: number;
  /** Folders of processes that were killed, and blobs that arrived in part. */
  readonly drafts: number;
}

/** File times come from a clock that ticks every few milliseconds: they may lie this much before Date.now(). */
const clockLag = 20;
const removalsPerLock = 32;

interface Candidate {
  readonly kind: 'blobs' | 'snapshots' | 'records' | 'cacheMounts';
  readonly path: string;
  /** Last use: milliseconds since 1970. */
  readonly used: number;
}

export async function prune(parts: StoreParts, options: PruneOptions): Promise<PruneResult> {
  const { layout, images } = parts;
  const { keepBytes, signal } = options;
  const all = options.all === true && keepBytes === undefined;
  await parts.pending.settle();
  await parts.records.settle();
  const drafts = (await removeDead(layout)) + removeAbandonedDownloads(layout);
  const { cutoff, alone } = await cutoffOf(parts);
  const removal = new Removal(parts, cutoff, signal);

  const isDoomed = (image: StoredImage) => image.name === undefined && image.tagged < cutoff;
  const nameless = new Set(images.images().flatMap((image) => (isDoomed(image) ? [image.target.digest] : [])));
  await images.remove(isDoomed, signal);

  const records = [...allRecords(layout)];
  const needed = neededBy(parts, records, all);
  await removal.remove(garbage(parts, needed, records, all));
  if (keepBytes !== undefined) await shrink(parts, removal, needed, keepBytes, signal);
  if (alone) removeUnheldLocks(parts);
  return { ...removal.counts, images: [...nameless], drafts };
}

export type BlobRemoval = 'removed' | 'absent' | 'needed' | 'in-use';

/**
 * Removes one blob, as `prune` would: `needed` says that an image or the build cache does, `in-use` that another process
 * that still runs used or made it.
 */
export async function removeBlob(parts: StoreParts, digest: Digest, signal: AbortSignal): Promise<BlobRemoval> {
  await parts.pending.settle();
  await parts.records.settle();
  const path = parts.blobs.path(digest);
  if (lastUse(path) === undefined) return 'absent';
  const { byImages, byCache } = neededBy(parts, [...allRecords(parts.layout)], false);
  if (byImages.has(digest) || byCache.has(digest)) return 'needed';
  const removal = new Removal(parts, (await cutoffOf(parts)).cutoff, signal);
  await removal.remove([withUse('blobs', path)]);
  if (removal.counts.blobs === 0) return 'in-use';
  parts.blobs.forget(digest);
  return 'removed';
}

interface Needed {
  /** What images with a name cannot do without. */
  readonly byImages: ReadonlySet<Digest>;
  /** What is worth keeping besides. */
  readonly byCache: ReadonlySet<Digest>;
}

/** What was last used before `cutoff` is relied on by no process that lives; what this one used and made until now was. */
async function cutoffOf({
  layout,
  presence,
}: StoreParts): Promise<{ readonly cutoff: number; readonly alone: boolean }> {
  await sleep(clockLag + 5);
  // The time first: a process that makes itself known after we looked marks what it uses after that time.
  const now = Date.now();
  const others = liveSince(layout, presence.id);
  return { cutoff: Math.min(now, ...others) - clockLag, alone: others.length === 0 };
}

function neededBy({ layout, images }: StoreParts, records: readonly StoredRecord[], all: boolean): Needed {
  const reachable = reachableFrom(layout, images.images());
  const byImages = new Set(reachable.blobs.keys());
  const byCache = new Set<Digest>();
  if (!all) {
    for (const diffId of reachable.diffIds) byCache.add(diffId);
    for (const record of records) {
      if (record.room !== 'compress') for (const digest of record.digests) byCache.add(digest);
    }
    // A compressed form is worth as much as its layer.
    for (const record of records) {
      const { diffId, digest } = (record.value ?? {}) as { readonly diffId?: unknown; readonly digest?: unknown };
      if (record.room !== 'compress' || !isDigest(diffId) || !isDigest(digest)) continue;
      if (byCache.has(diffId) || byImages.has(diffId)) byCache.add(digest);
    }
  }
  return { byImages, byCache };
}

function* garbage(
  parts: StoreParts,
  { byImages, byCache }: Needed,
  records: readonly StoredRecord[],
  all: boolean,
): Generator<Candidate> {
  const isNeeded = (digest: Digest | undefined) =>
    digest !== undefined && (byImages.has(digest) || byCache.has(digest));
  for (const blob of allBlobs(parts)) if (!isNeeded(blob.digest)) yield blob;
  for (const snapshot of snapshotFiles(parts.layout)) {
    if (all || !snapshot.isOfThisBoot || !isNeeded(snapshot.diffId)) yield candidateOf(snapshot);
  }
  for (const name of namesIn(join(parts.layout.cache, layerIndexRoom))) {
    const diffId = `sha256:${name}`;
    if (all || !isDigest(diffId) || !isNeeded(diffId)) {
      yield withUse('records', join(parts.layout.cache, layerIndexRoom, name));
    }
  }
  for (const record of records) {
    const isStale = record.value === undefined || (record.room === 'compress' && !record.digests.some(isNeeded));
    // Where a layer that is not here comes from cannot be found out again.
    const isOrigin = record.room === 'origins' && isNeeded(originOf(record));
    if (isStale || (all && !isOrigin)) yield { kind: 'records', path: record.path, used: record.written };
  }
  if (!all) return;
  yield* filesOf(parts, contextHashRoom);
  yield* cacheMounts(parts);
}

function* filesOf({ layout }: StoreParts, room: string): Generator<Candidate> {
  for (const name of namesIn(join(layout.cache, room))) yield withUse('records', join(layout.cache, room, name));
}

function* cacheMounts({ layout }: StoreParts): Generator<Candidate> {
  for (const name of namesIn(layout.cacheMounts)) yield withUse('cacheMounts', join(layout.cacheMounts, name));
}

/** The blob that a record of where blobs come from is about. */
function originOf({ path }: StoredRecord): Digest | undefined {
  const digest = `sha256:${basename(path)}`;
  return isDigest(digest) ? digest : undefined;
}

/** Least recently used first, whatever it is, but nothing an image with a name needs. */
async function shrink(
  parts: StoreParts,
  removal: Removal,
  { byImages }: Needed,
  keepBytes: number,
  signal: AbortSignal,
): Promise<void> {
  let total = await diskSize(parts.layout.root, signal);
  const candidates: Candidate[] = [
    ...[...allBlobs(parts)].filter((blob) => blob.digest === undefined || !byImages.has(blob.digest)),
    ...[...snapshotFiles(parts.layout)].map(candidateOf),
    ...filesOf(parts, layerIndexRoom),
    ...filesOf(parts, contextHashRoom),
    ...cacheMounts(parts),
  ].sort((a, b) => a.used - b.used);
  for (const candidate of candidates) {
    if (total <= keepBytes) return;
    total -= await removal.remove([candidate]);
  }
}

/** Takes candidates away, unless they were used meanwhile. */
class Removal {
  readonly counts = { reclaimed: 0, blobs: 0, snapshots: 0, records: 0, cacheMounts: 0 };
  readonly #parts: StoreParts;
  readonly #cutoff: number;
  readonly #signal: AbortSignal;

  constructor(parts: StoreParts, cutoff: number, signal: AbortSignal) {
    this.#parts = parts;
    this.#cutoff = cutoff;
    this.#signal = signal;
  }

  /** Resolves to the bytes freed. */
  async remove(candidates: Iterable<Candidate>): Promise<number> {
    const before = this.counts.reclaimed;
    let batch: Candidate[] = [];
    for (const candidate of candidates) {
      batch.push(candidate);
      if (batch.length >= removalsPerLock) {
        await this.#removeBatch(batch);
        batch = [];
      }
    }
    await this.#removeBatch(batch);
    return this.counts.reclaimed - before;
  }

  async #removeBatch(batch: readonly Candidate[]): Promise<void> {
    throwIfAborted(this.#signal);
    const doomed: string[] = [];
    if (batch.some(({ used }) => used < this.#cutoff)) {
      using _lock = lockForRemoval(this.#parts.layout, 'exclusive');
      for (const { kind, path } of batch) {
        const used = lastUse(path);
        if (used === undefined || used >= this.#cutoff) continue;
        const trash = this.#parts.presence.draft();
        if (!moveAway(path, trash)) continue;
        doomed.push(trash);
        this.counts[kind] += 1;
      }
    }
    for (const path of doomed) {
      this.counts.reclaimed += await diskSize(path, this.#signal);
      await removeTree(path);
    }
  }
}

function* allBlobs({ layout }: StoreParts): Generator<Candidate & { readonly digest: Digest | undefined }> {
  for (const algorithm of namesIn(layout.blobs)) {
    for (const name of namesIn(join(layout.blobs, algorithm))) {
      const digest = `${algorithm}:${name}`;
      const candidate = withUse('blobs', join(layout.blobs, algorithm, name));
      yield { ...candidate, digest: isDigest(digest) ? digest : undefined };
    }
  }
}

function candidateOf({ path, used }: SnapshotFile): Candidate {
  return { kind: 'snapshots', path, used };
}

function withUse(kind: Candidate['kind'], path: string): Candidate {
  return { kind, path, used: lastUse(path) ?? Number.POSITIVE_INFINITY };
}

function lastUse(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

function moveAway(path: string, trash: string): boolean {
  try {
    renameSync(path, trash);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw storeFailure(error, `cannot remove ${path}`);
  }
}

/** A lock file nobody holds is only a name; whoever wants the lock makes the file again. */
function removeUnheldLocks({ layout }: StoreParts): void {
  for (const name of namesIn(layout.locks)) {
    if (!name.startsWith('by-name-')) continue;
    const path = join(layout.locks, name);
    const lock = tryLock(path, 'exclusive');
    if (lock === undefined) continue;
    try {
      unlinkSync(path);
    } finally {
      lock.release();
    }
  }
}
