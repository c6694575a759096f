/**
 * A process's place in `ingest/`: the folder its drafts lie in, and the sign that it lives. The sign is a kernel lock on
 * the file `owner` in that folder, so a process killed at any instant is seen to be dead and its drafts can go.
 * Invariants: a folder carries its lock before it has its name, and holds it as long as it has the name; so whoever gets
 * the lock of a named folder knows that its process is dead. `owner` is the first file in a folder and the last to leave
 * it: an empty folder without one belongs to nobody, and whoever needs it makes another.
 * Absent on purpose: nothing is written until a draft or a claim is made; a command that only reads leaves no trace.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { systemErrorCode } from '../../core/index.ts';
import type { NativeLayers } from '../native/addon.ts';
import { loadAddon } from '../native/load-addon.ts';
import { storeFailure } from './failures.ts';
import { namesIn } from './if-there.ts';
import { type KernelLock, tryLock, tryLockExisting } from './kernel-lock.ts';
import { type Layout, withFolderOf } from './layout.ts';
import { removeTree } from './remove-tree.ts';

const ownerFile = 'owner';
/** Folders that are being made or removed begin with a dot: nobody lives in them. */
const unnamed = '.';
/** What lies in `ingest/` and has no owner is left alone this long. Milliseconds. */
const graceForStrangers = 60_000;

export class Presence {
  readonly #layout: Layout;
  #folder: string | undefined;
  #owner: KernelLock | undefined;
  #drafts = 0;
  #sweep: Promise<void> = Promise.resolve();

  constructor(layout: Layout) {
    this.#layout = layout;
  }

  /** This process's folder name in `ingest/`, when it has one. */
  get id(): string | undefined {
    return this.#folder?.slice(this.#layout.ingest.length + 1);
  }

  /** Makes this process known to others, once; the first call also starts the removal of what dead ones left. */
  enter(): string {
    if (this.#folder !== undefined) return this.#folder;
    const { folder, owner } = this.#makeFolder();
    this.#folder = folder;
    this.#owner = owner;
    this.#sweep = removeDead(this.#layout).then(
      () => {},
      // What cannot be removed now is found again by the next run, and named by `tsbuild store check`.
      () => {},
    );
    return folder;
  }

  /** A path for a new draft; nothing is there yet. */
  draft(): string {
    const folder = this.enter();
    this.#drafts += 1;
    return join(folder, String(this.#drafts));
  }

  /** Removes all drafts of this process. */
  async leave(): Promise<void> {
    const [folder, owner] = [this.#folder, this.#owner];
    this.#folder = undefined;
    this.#owner = undefined;
    await this.#sweep;
    if (folder === undefined) return;
    try {
      await removeOwned(folder);
    } finally {
      owner?.release();
    }
  }

  #makeFolder(): { readonly folder: string; readonly owner: KernelLock } {
    for (;;) {
      const id = `${process.pid}-${randomBytes(6).toString('hex')}`;
      const draft = join(this.#layout.ingest, `${unnamed}new-${id}`);
      const folder = join(this.#layout.ingest, id);
      let owner: KernelLock | undefined;
      try {
        withFolderOf(draft, () => {
          spreadFolders(this.#layout.ingest);
          mkdirSync(draft, { mode: 0o700 });
        });
        const path = join(draft, ownerFile);
        owner = tryLock(path, 'exclusive');
        // Another process saw the folder before it was locked, and is removing it.
        if (owner === undefined) continue;
        const now = Date.now() / 1000;
        utimesSync(path, now, now);
        renameSync(draft, folder);
        return { folder, owner };
      } catch (error) {
        owner?.release();
        throw storeFailure(error, `cannot write to the store ${this.#layout.root}`);
      }
    }
  }
}

/**
 * Each process's drafts lie in a part of the disk of their own, where ext4 has one: near files that were deleted a moment
 * ago it looks at each of their inodes, which it does not use again so soon, whenever a file is made.
 */
function spreadFolders(path: string): void {
  const folder = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    loadAddon<NativeLayers>().spreadDirectories(folder);
  } finally {
    closeSync(folder);
  }
}

/** When the living processes, other than `except`, made themselves known: milliseconds since 1970. */
export function liveSince(layout: Layout, except: string | undefined): number[] {
  const starts: number[] = [];
  for (const id of namesIn(layout.ingest)) {
    if (id === except || id.startsWith(unnamed)) continue;
    const owner = join(layout.ingest, id, ownerFile);
    const status = statSync(owner, { throwIfNoEntry: false });
    if (status === undefined) continue;
    const lock = tryLockExisting(owner, 'shared');
    if (lock === 'held') starts.push(status.mtimeMs);
    else if (lock !== 'absent') lock.release();
  }
  return starts;
}

/** Removes the drafts of processes that are gone. Resolves to the number of folders. */
export async function removeDead(layout: Layout): Promise<number> {
  let removed = 0;
  for (const id of namesIn(layout.ingest)) {
    const folder = join(layout.ingest, id);
    const lock = tryLockExisting(join(folder, ownerFile), 'exclusive');
    if (lock === 'held') continue;
    if (lock === 'absent') {
      await removeStranger(folder);
      continue;
    }
    try {
      // Without a name it no longer counts as a living process's, though it is locked.
      const doomed = join(layout.ingest, `${unnamed}dead-${randomBytes(6).toString('hex')}`);
      if (!unlessGone(() => renameSync(folder, doomed))) continue;
      await removeOwned(doomed);
      removed += 1;
    } finally {
      lock.release();
    }
  }
  return removed;
}

/** The caller holds the lock. */
async function removeOwned(folder: string): Promise<void> {
  for (const name of namesIn(folder)) if (name !== ownerFile) await removeTree(join(folder, name));
  unlessGone(() => unlinkSync(join(folder, ownerFile)));
  unlessGone(() => rmdirSync(folder));
}

/** An empty folder, or something that is none of ours and has been there for a while. */
async function removeStranger(path: string): Promise<void> {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) return;
  if (Date.now() - status.mtimeMs > graceForStrangers) return removeTree(path);
  if (status.isDirectory() && namesIn(path).length === 0) unlessGone(() => rmdirSync(path));
}

/** False when it was gone, or there again. */
function unlessGone(remove: () => void): boolean {
  try {
    remove();
    return true;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTEMPTY' || code === 'EEXIST') return false;
    throw storeFailure(error, 'cannot remove what a process left');
  }
}
