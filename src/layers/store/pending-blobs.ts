/**
 * Blobs that are complete but not yet known to be on the disk. A finished draft is synced and renamed in the background
 * while the build goes on; whatever refers to blobs waits for them with `settle`.
 *
 * Which hazard each sync is for. A killed process loses nothing that was written: the page cache survives, so against
 * kill -9 the private draft and the rename are enough. The syncs are against power loss and kernel crashes:
 *  - fdatasync of a draft before its rename: else the name may reach the disk before the bytes, and a blob of the right
 *    name would be empty;
 *  - fsync of `blobs/<algorithm>` in `settle`: else index.json may reach the disk before the name of a blob it needs
 *    (ext4 and XFS order the two, other file systems do not). Once per settle, not once per blob.
 * Invariant: a digest is pending, or its file is complete under the final name, or it is not there.
 */
import { constants } from 'node:fs';
import { chmod, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Limiter } from '../../core/index.ts';
import type { Digest } from '../../image/index.ts';
import { storeFailure } from './failures.ts';
import { makeFolder } from './layout.ts';

/** More at once do not make a disk faster, and would take all of libuv's four threads. */
const syncsAtOnce = 2;

export class PendingBlobs {
  readonly #pending = new Map<Digest, Promise<void>>();
  readonly #unsyncedFolders = new Set<string>();
  readonly #limiter = new Limiter(syncsAtOnce);
  readonly #never = new AbortController().signal;
  #failure: unknown;

  has(digest: Digest): boolean {
    return this.#pending.has(digest);
  }

  get digests(): readonly Digest[] {
    return [...this.#pending.keys()];
  }

  /** Starts to make a finished draft the blob of its digest. Failures are thrown by whoever waits. */
  add(digest: Digest, draft: string, path: string): void {
    const work = this.#limiter
      .run(this.#never, () => this.#publish(draft, path))
      .catch((error: unknown) => {
        this.#failure ??= error;
        throw error;
      })
      .finally(() => this.#pending.delete(digest));
    work.catch(() => {
      // Kept in #failure: the next settle throws it.
    });
    this.#pending.set(digest, work);
  }

  /** Resolves when the blob, if it was pending, can be read under its final name. */
  async finished(digest: Digest): Promise<void> {
    await this.#pending.get(digest);
  }

  /** Resolves when nothing added so far is pending: to false when some of it was lost, which the next settle throws. */
  async drained(): Promise<boolean> {
    await Promise.allSettled([...this.#pending.values()]);
    return this.#failure === undefined;
  }

  /**
   * Resolves when everything added so far is on the disk for good.
   * @throws TsbuildError `store-full`, `store-io`: some blob added since the last settle could not be kept
   */
  async settle(): Promise<void> {
    await this.drained();
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
    const folders = [...this.#unsyncedFolders];
    this.#unsyncedFolders.clear();
    for (const folder of folders) await syncFolder(folder);
  }

  async #publish(draft: string, path: string): Promise<void> {
    try {
      const file = await open(draft, constants.O_RDONLY);
      try {
        await file.datasync();
      } finally {
        await file.close();
      }
      await chmod(draft, 0o400);
      makeFolder(dirname(path));
      // Over an existing file too: equal if it is sound, and healed if it is not.
      await rename(draft, path);
      this.#unsyncedFolders.add(dirname(path));
    } catch (error) {
      throw storeFailure(error, `cannot keep the blob ${path}`);
    }
  }
}

/** Makes the names in a folder survive a power loss. */
export async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (error) {
    throw storeFailure(error, `cannot sync ${path}`);
  }
}
