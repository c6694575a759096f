/**
 * What the directories of a folder held, kept as a record, and looked at again in threads while the rest of the program
 * is still being loaded: an unchanged folder costs no JavaScript for each of its files.
 * Invariant: a record is only ever compared with what is there, so a damaged or a stale one is found to differ. Blocks on
 * disk are left aside; the text of a symlink is as old as its times.
 */
import { closeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { BytePath } from '../../core/index.ts';
import { native, type StartedRescan } from './addon.ts';
import { openRoot } from './directory-handles.ts';
import { listedBeneath, type ScannedDirectory } from './scan-beneath.ts';

/** Listings by directory, as `scanBeneath` gives them. */
export type Listings = ReadonlyMap<BytePath, Buffer>;

/** More threads than this wait for one another in the kernel. */
const mostThreads = 4;

export class Rescan {
  readonly #root: string;
  readonly #record: Buffer;
  #started: StartedRescan | undefined;
  #isSame = false;
  #listings: Listings = new Map();

  /** @param record what `recordListings` gave, as one */
  constructor(root: string, record: Buffer) {
    this.#root = root;
    this.#record = record;
    const fd = openRoot(root);
    try {
      this.#started = native.startRescan(fd, record, Math.min(mostThreads, availableParallelism()));
    } finally {
      closeSync(fd);
    }
  }

  /** Whether all of the record is as it was. Waits. */
  isSame(): boolean {
    this.#finish();
    return this.#isSame;
  }

  /** What a directory of the record holds now; undefined of one that is not in it, or cannot be read. Waits. */
  directory(path: BytePath): ScannedDirectory | undefined {
    const listing = this.listings().get(path);
    if (listing === undefined) return undefined;
    try {
      return listedBeneath(this.#root, path, listing);
    } catch {
      // ENOENT, EINVAL, ELOOP, ...: it has changed since, and whoever asks will look for himself.
      return undefined;
    }
  }

  /** Of the directories of the record, what they hold now. Waits. */
  listings(): Listings {
    this.#finish();
    return this.#listings;
  }

  #finish(): void {
    if (this.#started === undefined) return;
    const found = native.finishRescan(this.#started);
    this.#started = undefined;
    this.#isSame = found === true;
    const listings = new Map<BytePath, Buffer>();
    for (const [number, { path, listing }] of readRecord(this.#record).entries()) {
      const now = found === true || found[number];
      if (now) listings.set(path, now === true ? listing : now);
    }
    this.#listings = listings;
  }
}

const headSize = 16;

/** The pieces of a record, in order. */
export function recordListings(listings: Listings): Buffer[] {
  return [...listings].flatMap(([path, listing]) => {
    const head = Buffer.alloc(headSize + paddedPath(path));
    head.writeUInt32LE(path.length, 0);
    head.writeUInt32LE(listing.length, 8);
    head.write(path, headSize, 'latin1');
    return [head, listing];
  });
}

function readRecord(record: Buffer): { readonly path: BytePath; readonly listing: Buffer }[] {
  const directories: { path: BytePath; listing: Buffer }[] = [];
  for (let at = 0; at < record.length; ) {
    const length = record.readUInt32LE(at);
    const size = record.readUInt32LE(at + 8);
    const path = record.toString('latin1', at + headSize, at + headSize + length) as BytePath;
    at += headSize + paddedPath(path);
    directories.push({ path, listing: record.subarray(at, at + size) });
    at += size;
  }
  return directories;
}

/** With at least one zero behind it. */
function paddedPath(path: string): number {
  return (Math.floor(path.length / 8) + 1) * 8;
}
