/**
 * What COPYs selected of a folder, remembered from build to build with the listings of all directories they read: while
 * a build starts, threads look at these again, and where all is as it was, what was selected is too, content included.
 * One file per folder under the store's `cache/`; losing it costs time only.
 *
 * Invariants: only the build of the program that wrote a record asks it; nothing is remembered while a file or symlink was
 * changed less than two seconds before the scan began, for a second change could leave its times as they are.
 */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { endianness } from 'node:os';
import type { BytePath } from '../../core/index.ts';
import { type Digest, isDigest } from '../../image/index.ts';
import { type Listings, latestChange, Rescan, recordListings, type ScannedDirectory } from '../../layers/index.ts';
import { memoFile, readMemoFile, writeMemoFile } from './memo-file.ts';

/** Selections by text that says all they depend on but the folder. */
type Selections = Readonly<Record<string, string>>;

/** Of other Dockerfiles and targets, of the latest builds. */
const mostSelections = 200;
/** Nanoseconds. */
const racy = 2_000_000_000n;

export class ContextScan {
  readonly #file: string;
  readonly #began: bigint;
  readonly #kept: KeptScan | undefined;
  readonly #rescan: Rescan | undefined;
  readonly #new = new Map<string, Digest>();
  #known: Selections | undefined;

  /**
   * Begins to look, when there is a record.
   * @param storeRoot absolute
   * @param folder an absolute path; when it is no folder, nothing is begun, and nothing will be remembered
   * @param now milliseconds since 1970
   */
  constructor(storeRoot: string, folder: string, now: () => number = Date.now) {
    this.#began = BigInt(now()) * 1_000_000n;
    const root = statSync(folder, { bigint: true, throwIfNoEntry: false });
    const name = root?.isDirectory() ? `${root.dev.toString(36)}-${root.ino.toString(36)}` : '';
    this.#file = name && memoFile(storeRoot, `${name}.scan`);
    this.#kept = name ? readKept(this.#file) : undefined;
    this.#rescan = this.#kept && startRescan(folder, this.#kept.record);
  }

  /** What was remembered, when nothing has changed. */
  recall(selection: string): Digest | undefined {
    const digest = this.#selections()[selection];
    return digest !== undefined && isDigest(digest) ? digest : undefined;
  }

  remember(selection: string, digest: Digest): void {
    this.#new.set(selection, digest);
  }

  /** What a directory holds, when it was looked at already. */
  directory(path: BytePath): ScannedDirectory | undefined {
    return this.#rescan?.directory(path);
  }

  /**
   * Writes what is new. Never fails a build.
   * @param read of all directories that were read for what was remembered in this build
   */
  async save(read: Listings): Promise<void> {
    if (this.#new.size === 0 || this.#file === '') return;
    const known = this.#selections();
    const listings = this.#rescan?.isSame() ? new Map([...this.#rescan.listings(), ...read]) : read;
    for (const listing of listings.values()) if (latestChange(listing) > this.#began - racy) return;
    const selections = [...this.#new, ...Object.entries(known).filter(([selection]) => !this.#new.has(selection))];
    const kept = Object.fromEntries(selections.slice(0, mostSelections));
    await writeMemoFile(this.#file, formatKept(kept, recordListings(listings)));
  }

  /** Those of an unchanged folder. */
  #selections(): Selections {
    // What has to be verified is, while the threads are at work.
    this.#known ??= (this.#kept?.selections() && this.#rescan?.isSame() ? this.#kept.selections() : undefined) ?? {};
    return this.#known;
  }
}

function startRescan(folder: string, record: Buffer): Rescan | undefined {
  try {
    return new Rescan(folder, record);
  } catch {
    // EACCES, EMFILE, ...: whoever reads the folder says it.
    return undefined;
  }
}

interface KeptScan {
  readonly record: Buffer;
  /** Undefined: the file is damaged, or another program's. */
  selections(): Selections | undefined;
}

const magic = `tsbscan1 ${endianness()}`.padEnd(16);
const noteAt = magic.length + 8;
const sumSize = 32;

/** Another build of the program may select otherwise. The name of its bundle holds a digest. */
const program = import.meta.url;

/** Magic, the length of a note, the note (JSON, padded to 8 bytes), listings, sha256 of it all. */
function formatKept(selections: Selections, record: readonly Buffer[]): Buffer[] {
  const text = Buffer.from(JSON.stringify({ program, selections }));
  const note = Buffer.concat([text, Buffer.alloc(-text.length & 7, ' ')]);
  const head = Buffer.alloc(noteAt);
  head.write(magic, 'latin1');
  head.writeUInt32LE(note.length, magic.length);
  const pieces = [head, note, ...record];
  const sum = createHash('sha256');
  for (const piece of pieces) sum.update(piece);
  return [...pieces, sum.digest()];
}

function readKept(path: string): KeptScan | undefined {
  const file = readMemoFile(path);
  if (!file) return undefined;
  const end = file.length - sumSize;
  if (end < noteAt || file.toString('latin1', 0, magic.length) !== magic) return undefined;
  const recordAt = noteAt + file.readUInt32LE(magic.length);
  if (recordAt > end) return undefined;
  let selections: Selections | undefined;
  return {
    record: file.subarray(recordAt, end),
    selections: () => {
      selections ??= readNote(file, recordAt, end);
      return selections;
    },
  };
}

function readNote(file: Buffer, recordAt: number, end: number): Selections | undefined {
  const sum = createHash('sha256').update(file.subarray(0, end)).digest();
  if (!sum.equals(file.subarray(end))) return undefined;
  const note = JSON.parse(file.toString('utf8', noteAt, recordAt)) as { program: string; selections: Selections };
  return note.program === program ? note.selections : undefined;
}
