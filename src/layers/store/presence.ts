/**
 * A process's place in `ingest/`: the folder its drafts lie in, and the sign that it lives. The sign is a kernel lock on
 * the file `owner` in that folder, so a process killed at any instant is seen to be dead and its drafts can go.
 * Invariant: a folder carries its lock before it has its name, and holds it as long as it has the name; so whoever gets
 * the lock of a named folder knows that its process is dead.
 * Absent on purpose: nothing is written until a draft or a claim is made; a command that only reads leaves no trace.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, renameSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { systemErrorCode } from '../../core/index.ts';
import { storeFailure } from './failures.ts';
import { type KernelLock, tryLock } from './kernel-lock.ts';
import { type Layout, withFolderOf } from './layout.ts';
import { removeTree } from './remove-tree.ts';

const unnamed = '.new-';
/** A folder that has no name yet is left alone this long: its process may be about to lock it. Milliseconds. */
const graceForUnnamed = 60_000;

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
    const id = `${process.pid}-${randomBytes(6).toString('hex')}`;
    const draft = join(this.#layout.ingest, unnamed + id);
    const folder = join(this.#layout.ingest, id);
    try {
      withFolderOf(draft, () => mkdirSync(draft, { mode: 0o700 }));
      const owner = join(draft, 'owner');
      this.#owner = tryLock(owner, 'exclusive');
      const now = Date.now() / 1000;
      utimesSync(owner, now, now);
      renameSync(draft, folder);
    } catch (error) {
      this.#owner?.release();
      throw storeFailure(error, `cannot write to the store ${this.#layout.root}`);
    }
    this.#folder = folder;
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
      await removeTree(folder);
    } finally {
      owner?.release();
    }
  }
}

/** When the living processes, other than `except`, made themselves known: milliseconds since 1970. */
export function liveSince(layout: Layout, except: string | undefined): number[] {
  const starts: number[] = [];
  for (const id of foldersIn(layout)) {
    if (id === except || id.startsWith(unnamed)) continue;
    const owner = join(layout.ingest, id, 'owner');
    const status = statSync(owner, { throwIfNoEntry: false });
    if (status === undefined) continue;
    const lock = tryLock(owner, 'shared');
    if (lock === undefined) starts.push(status.mtimeMs);
    lock?.release();
  }
  return starts;
}

/** Removes the drafts of processes that are gone. Resolves to the number of folders. */
export async function removeDead(layout: Layout): Promise<number> {
  let removed = 0;
  for (const id of foldersIn(layout)) {
    const folder = join(layout.ingest, id);
    const status = statSync(folder, { throwIfNoEntry: false });
    if (status === undefined) continue;
    if (id.startsWith('.') && Date.now() - status.mtimeMs < graceForUnnamed) continue;
    if (!status.isDirectory()) {
      await removeTree(folder);
      continue;
    }
    const lock = tryLock(join(folder, 'owner'), 'exclusive');
    if (lock === undefined) continue;
    try {
      // Under a name that counts as unnamed, so that no other process starts on it as well.
      const doomed = join(layout.ingest, `.dead-${randomBytes(6).toString('hex')}`);
      if (renamed(folder, doomed)) await removeTree(doomed);
      removed += 1;
    } finally {
      lock.release();
    }
  }
  return removed;
}

function renamed(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw storeFailure(error, `cannot remove ${from}`);
  }
}

function foldersIn(layout: Layout): string[] {
  try {
    return readdirSync(layout.ingest);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw storeFailure(error, `cannot read ${layout.ingest}`);
  }
}
