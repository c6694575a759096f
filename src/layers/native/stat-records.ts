/**
 * Stat records as the addon gives them, decoded only as far as somebody asks: a build context has many thousand files,
 * and of most of them little more than the stamp is looked at, and only compared.
 * Invariant: entries of a directory come in byte order of their names, whatever order the file system has.
 */
import type { BytePath } from '../../core/index.ts';
import { native, statBytes, statSlot } from './addon.ts';

type IntegerSlot = 'fileSystem' | 'inode' | 'mtime' | 'ctime';
type NumberSlot = Exclude<keyof typeof statSlot, IntegerSlot>;

export class StatRecords {
  readonly names: readonly BytePath[];
  /** Slot at which the record of each name begins. */
  readonly #starts: readonly number[];
  readonly #numbers: Float64Array;
  readonly #integers: BigInt64Array;
  readonly #words: Int32Array;

  constructor(numbers: Float64Array, names: readonly BytePath[], starts: readonly number[]) {
    this.names = names;
    this.#starts = starts;
    this.#numbers = numbers;
    this.#integers = new BigInt64Array(numbers.buffer, numbers.byteOffset, numbers.length);
    this.#words = new Int32Array(numbers.buffer, numbers.byteOffset, numbers.length * 2);
  }

  /** `mode` is st_mode: the type and the permission bits. */
  number(entry: number, slot: NumberSlot): number {
    return this.#numbers[(this.#starts[entry] ?? 0) + statSlot[slot]] ?? 0;
  }

  /** Times are nanoseconds since 1970. */
  integer(entry: number, slot: IntegerSlot): bigint {
    return this.#integers[(this.#starts[entry] ?? 0) + statSlot[slot]] ?? 0n;
  }

  /** As `stampInode` gives it. */
  inode(entry: number): number {
    return stampInode(this.#words, ((this.#starts[entry] ?? 0) + statSlot.inode) * 2);
  }

  /** Whether the entry has the stamp that `copyStamp` left in `stamps` at `from`. */
  hasStamp(entry: number, stamps: Int32Array, from: number): boolean {
    const words = this.#words;
    const at = (this.#starts[entry] ?? 0) * 2;
    // Written out, because it is asked of every file of a context.
    return (
      words[at + inode] === stamps[from] &&
      words[at + inode + 1] === stamps[from + 1] &&
      words[at + fileSystem] === stamps[from + 2] &&
      words[at + fileSystem + 1] === stamps[from + 3] &&
      words[at + size] === stamps[from + 4] &&
      words[at + size + 1] === stamps[from + 5] &&
      words[at + mtime] === stamps[from + 6] &&
      words[at + mtime + 1] === stamps[from + 7] &&
      words[at + ctime] === stamps[from + 8] &&
      words[at + ctime + 1] === stamps[from + 9]
    );
  }

  copyStamp(entry: number, stamps: Int32Array, from: number): void {
    const at = (this.#starts[entry] ?? 0) * 2;
    for (let word = 0; word < stampWords; word++) stamps[from + word] = this.#words[at + (stampOrder[word] ?? 0)] ?? 0;
  }
}

/** 32-bit words of a stamp: inode, device, size, mtime and ctime, two each, as the machine orders them. */
export const stampWords = 10;
const [inode, fileSystem, size, mtime, ctime] = [
  statSlot.inode * 2,
  statSlot.fileSystem * 2,
  statSlot.size * 2,
  statSlot.mtime * 2,
  statSlot.ctime * 2,
];
const stampOrder = [inode, fileSystem, size, mtime, ctime].flatMap((first) => [first, first + 1]);

/** The inode of a stamp, as a number for indexes: those above 2^53 may share one, so the whole stamp counts. */
export function stampInode(stamps: Int32Array, from: number): number {
  return ((stamps[from] ?? 0) >>> 0) + ((stamps[from + 1] ?? 0) >>> 0) * 2 ** 32;
}

/** What tells, without reading, whether a file still has the content it had. */
export interface FileStamp {
  readonly records: StatRecords;
  readonly entry: number;
}

/** What a name in a directory is ('' for the descriptor itself), or undefined when there is none. */
export function statRecord(dir: number, name: string): StatRecords | undefined {
  const record = new Float64Array(statBytes / 8);
  return native.statAt(dir, name, record) ? new StatRecords(record, [name as BytePath], [0]) : undefined;
}

/** All entries of a directory but `.` and `..`. */
export function scanRecords(fd: number): StatRecords {
  return readListing(native.scanDirectory(fd));
}

/** The latest time at which a file or a symlink of a listing was changed, nanoseconds since 1970; directories aside. */
export function latestChange(packed: Buffer): bigint {
  const numbers = numbersOf(packed);
  const integers = new BigInt64Array(numbers.buffer, numbers.byteOffset, numbers.length);
  let latest = 0n;
  for (let start = 0; start < numbers.length; start = entryAfter(numbers, start)) {
    if (((numbers[start + statSlot.mode] ?? 0) & directoryType.mask) === directoryType.directory) continue;
    for (const slot of [statSlot.mtime, statSlot.ctime]) {
      const time = integers[start + slot] ?? 0n;
      if (time > latest) latest = time;
    }
  }
  return latest;
}

const directoryType = { mask: 0o170000, directory: 0o040000 } as const;
const slots = statBytes / 8;

/** A Buffer may begin at any offset; typed arrays need a multiple of 8. */
function numbersOf(packed: Buffer): Float64Array {
  const { buffer, byteOffset, byteLength } =
    packed.byteOffset % 8 === 0 ? packed : Buffer.from(new Uint8Array(packed).buffer);
  return new Float64Array(buffer, byteOffset, byteLength / 8);
}

/** Where the entry behind one begins. */
function entryAfter(numbers: Float64Array, start: number): number {
  return start + slots + 1 + Math.ceil((numbers[start + slots] ?? 0) / 8);
}

/** @param packed what the addon's `scanDirectory` gave */
export function readListing(packed: Buffer): StatRecords {
  const numbers = numbersOf(packed);
  const bytes = Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  const names: BytePath[] = [];
  const starts: number[] = [];
  for (let start = 0; start < numbers.length; start = entryAfter(numbers, start)) {
    const nameAt = (start + slots + 1) * 8;
    names.push(bytes.toString('latin1', nameAt, nameAt + (numbers[start + slots] ?? 0)) as BytePath);
    starts.push(start);
  }
  return new StatRecords(numbers, names, starts);
}
