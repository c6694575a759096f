/**
 * Blobs that are complete but not yet known to be on the disk. Finished drafts gather and are synced and renamed in
 * batches while the build goes on; whatever refers to blobs waits for them with `settle`.
 *
 * Why batches: a sync makes the file system commit its journal, and whoever makes a file meanwhile waits for that. One
 * batch at a time and one in `batchInterval` keeps a build of many small steps out of its own way; somebody who waits
 * makes the next one start at once.
 *
 * Which hazard each sync is for. Against kill -9 the private draft and the rename are enough, for the page cache
 * survives; what such a kill can lose is the steps whose drafts were still gathering, those of the last fraction of a
 * second, which the next build runs again. The syncs are against power loss and kernel crashes:
 *  - fdatasync of a draft before its rename: else the name may reach the disk before the bytes, and a blob of the right
 *    name would be empty;
 *  - fsync of `blobs/<algorithm>` in `settle`: else index.json may reach the disk before the name of a blob it needs
 *    (ext4 and XFS order the two, other file systems do not). Once per settle, not once per blob.
 * Invariant: a digest is pending, or its file is complete under the final name, or it is not there.
 */
import { chmodSync, closeSync, constants, fdatasync, fstatSync, fsync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { systemErrorCode } from '../../core/index.ts';
import type { Digest } from '../../image/index.ts';
import { storeFailure } from './failures.ts';
import type { Placing } from './usage-marks.ts';

/** More at once do not make a disk faster, and would take all of libuv's four threads. */
const syncsAtOnce = 2;
/** Milliseconds between the end of a batch, or the first blob, and the start of the next batch nobody waits for. */
const batchInterval = 150;
/** A prune waits as long as that takes. */
const placedAtOnce = 32;
/** Bytes. */
const smallBlob = 1024 * 1024;
const [syncData, syncAll] = [promisify(fdatasync), promisify(fsync)];

interface PendingBlob {
  readonly digest: Digest;
  readonly draft: string;
  readonly path: string;
  readonly work: Promise<void>;
  readonly done: () => void;
  readonly fail: (error: unknown) => void;
}

export class PendingBlobs {
  readonly #placing: () => Placing;
  readonly #pending = new Map<Digest, PendingBlob>();
  readonly #unsyncedFolders = new Set<string>();
  /** What the next batch takes. */
  #gathering: PendingBlob[] = [];
  #batch: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Somebody waits for what is gathering. */
  #hurried = false;
  #failure: unknown;

  /** @param placing gives drafts their final names */
  constructor(placing: () => Placing) {
    this.#placing = placing;
  }

  has(digest: Digest): boolean {
    return this.#pending.has(digest);
  }

  get digests(): readonly Digest[] {
    return [...this.#pending.keys()];
  }

  /** Starts to make a finished draft the blob of its digest. Failures are thrown by whoever waits. */
  add(digest: Digest, draft: string, path: string): void {
    let [done, fail]: [() => void, (error: unknown) => void] = [() => {}, () => {}];
    const work = new Promise<void>((resolve, reject) => {
      [done, fail] = [resolve, reject];
    });
    work.catch(() => {
      // Kept in #failure: the next settle throws it.
    });
    const blob = { digest, draft, path, work, done, fail };
    this.#pending.set(digest, blob);
    this.#gathering.push(blob);
    this.#schedule();
  }

  /** Resolves when the blob, if it was pending, can be read under its final name. */
  async finished(digest: Digest): Promise<void> {
    const blob = this.#pending.get(digest);
    if (blob === undefined) return;
    if (this.#gathering.includes(blob)) this.#hurry();
    await blob.work;
  }

  /** Resolves when the blob is no longer pending, whether it was kept or lost; starts nothing earlier. */
  async published(digest: Digest): Promise<void> {
    await Promise.allSettled([this.#pending.get(digest)?.work]);
  }

  /**
   * Resolves when nothing added so far is pending: to false when some of it was lost, which the next settle throws.
   * Unlike `settle` it starts nothing earlier than it would start by itself.
   */
  async drained(): Promise<boolean> {
    await Promise.allSettled([...this.#pending.values()].map(({ work }) => work));
    return this.#failure === undefined;
  }

  /**
   * Resolves when everything added so far is on the disk for good.
   * @throws TsbuildError `store-full`, `store-io`: some blob added since the last settle could not be kept
   */
  async settle(): Promise<void> {
    if (this.#gathering.length > 0) this.#hurry();
    await this.drained();
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
    const folders = [...this.#unsyncedFolders];
    this.#unsyncedFolders.clear();
    for (const folder of folders) await syncFolder(folder);
  }

  #schedule(): void {
    if (this.#batch !== undefined || this.#timer !== undefined || this.#gathering.length === 0) return;
    if (this.#hurried) this.#start();
    else this.#timer = setTimeout(() => this.#start(), batchInterval);
  }

  #hurry(): void {
    this.#hurried = true;
    if (this.#batch === undefined) this.#start();
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#hurried = false;
    const batch = this.#gathering;
    this.#gathering = [];
    this.#batch = this.#publish(batch).finally(() => {
      this.#batch = undefined;
      this.#schedule();
    });
  }

  /** All are synced before the first is renamed: a rename between two syncs would be one more commit of the journal. */
  async #publish(batch: readonly PendingBlob[]): Promise<void> {
    if (batch.length > 1) await startWriting(batch);
    const failed = new Map<PendingBlob, unknown>();
    const rest = batch.values();
    const syncThem = async (): Promise<void> => {
      for (const blob of rest) {
        try {
          await syncFile(blob.draft);
        } catch (error) {
          failed.set(blob, error);
        }
      }
    };
    await Promise.all(Array.from({ length: syncsAtOnce }, syncThem));
    for (let i = 0; i < batch.length; i += placedAtOnce) this.#placeAll(batch.slice(i, i + placedAtOnce), failed);
  }

  #placeAll(blobs: readonly PendingBlob[], failed: ReadonlyMap<PendingBlob, unknown>): void {
    using placing = this.#placing();
    for (const blob of blobs) {
      try {
        if (failed.has(blob)) throw failed.get(blob);
        chmodSync(blob.draft, 0o400);
        // Over an existing file too: equal if it is sound, and healed if it is not.
        placing.place(blob.draft, blob.path);
        this.#unsyncedFolders.add(dirname(blob.path));
        blob.done();
      } catch (error) {
        const failure = storeFailure(error, `cannot keep the blob ${blob.path}`);
        this.#failure ??= failure;
        blob.fail(failure);
      }
      if (this.#pending.get(blob.digest) === blob) this.#pending.delete(blob.digest);
    }
  }
}

/**
 * The disk begins with all of them: one commit of the journal then does for what otherwise takes one for each. Large ones
 * begin when they are synced, for to begin may take as long as the disk has other things to do.
 */
async function startWriting(batch: readonly PendingBlob[]): Promise<void> {
  const { native } = await import('../native/addon.ts');
  for (const { draft } of batch) {
    try {
      const file = openSync(draft, constants.O_RDONLY);
      const { size } = fstatSync(file);
      if (size <= smallBlob) native.startWriteback(file, 0, size);
      closeSync(file);
    } catch (error) {
      // Whoever syncs it says what is the matter.
      if (systemErrorCode(error) === undefined) throw error;
    }
  }
}

/** Only the sync is waited for in a thread: to open and close a file takes less than the way there. */
export async function syncFile(path: string): Promise<void> {
  const file = openSync(path, constants.O_RDONLY);
  try {
    await syncData(file);
  } finally {
    closeSync(file);
  }
}

/** Makes the names in a folder survive a power loss. */
export async function syncFolder(path: string): Promise<void> {
  try {
    const folder = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await syncAll(folder);
    } finally {
      closeSync(folder);
    }
  } catch (error) {
    throw storeFailure(error, `cannot sync ${path}`);
  }
}
