/**
 * Stamps of files with the digests of their contents, as one run of numbers that is kept in a file as it is. Files are
 * mostly asked for in the order they were remembered in, so the next record is tried before an index is made.
 *
 * Invariant: a file that is damaged, or of another version or byte order, is read as no records.
 */
import { createHash } from 'node:crypto';
import { endianness } from 'node:os';
import { type Digest, digestHex } from '../../image/index.ts';
import { type FileStamp, stampWords } from '../../layers/index.ts';

/** 32-bit words: a stamp and a sha256. */
const recordWords = stampWords + 8;
const recordSize = recordWords * 4;
const magic = `tsbhash2 ${endianness()}`.padEnd(16);
const sumSize = 32;
/** How many records nobody asked for are kept: builds of other targets ask for other files. */
const spare = 50_000;

export class HashRecords {
  #words: Int32Array;
  #bytes: Buffer;
  #count: number;
  /** Records in the order they were asked for, and whether each was. */
  readonly #order: number[] = [];
  #asked: Uint8Array;
  #next = 0;
  #byInode: Map<number, number> | undefined;
  readonly #stamp = new Int32Array(stampWords);

  /** @param file what `format` gave */
  constructor(file?: Buffer) {
    this.#words = (file && wordsOf(file)) ?? new Int32Array(0);
    this.#bytes = bytesOf(this.#words);
    this.#count = this.#words.length / recordWords;
    this.#asked = new Uint8Array(this.#count);
  }

  get(stamp: FileStamp): Digest | undefined {
    const record = this.#isAt(this.#next, stamp) ? this.#next : this.#find(stamp);
    if (record === undefined || !this.#isAt(record, stamp)) return undefined;
    this.#next = record + 1;
    this.#ask(record);
    const at = record * recordSize + stampWords * 4;
    // The bytes of a hash that `set` was given; they were verified against the file's sum.
    return `sha256:${this.#bytes.toString('hex', at, at + 32)}` as Digest;
  }

  /** @param digest sha256 */
  set(stamp: FileStamp, digest: Digest): void {
    const record = this.#find(stamp) ?? this.#append(stamp);
    stamp.copyTo(this.#words, record * recordWords);
    this.#bytes.write(digestHex(digest), record * recordSize + stampWords * 4, 'hex');
    this.#ask(record);
  }

  /** Forgets whatever is remembered of the file's inode. @returns whether something was */
  delete(stamp: FileStamp): boolean {
    const record = this.#find(stamp);
    if (record === undefined) return false;
    this.#byInode?.delete(this.#inode(record));
    this.#words.fill(0, record * recordWords, (record + 1) * recordWords);
    return true;
  }

  /** Magic, records in the order they were asked for, those nobody asked for unless they are many, sha256 of it all. */
  format(): Buffer {
    const kept = [...this.#order];
    if (this.#count < 2 * kept.length + spare) {
      for (let record = 0; record < this.#count; record++) if (this.#asked[record] === 0) kept.push(record);
    }
    const present = kept.filter((record) => this.#inode(record) !== 0);
    const file = Buffer.alloc(magic.length + present.length * recordSize + sumSize);
    let at = file.write(magic, 'latin1');
    for (const record of present) {
      at += this.#bytes.copy(file, at, record * recordSize, (record + 1) * recordSize);
    }
    createHash('sha256').update(file.subarray(0, at)).digest().copy(file, at);
    return file;
  }

  #isAt(record: number, stamp: FileStamp): boolean {
    return record < this.#count && stamp.equals(this.#words, record * recordWords);
  }

  #ask(record: number): void {
    if (this.#asked[record] === 1) return;
    this.#asked[record] = 1;
    this.#order.push(record);
  }

  /** The record of the same inode. */
  #find(stamp: FileStamp): number | undefined {
    if (this.#byInode === undefined) {
      this.#byInode = new Map();
      for (let record = 0; record < this.#count; record++) this.#byInode.set(this.#inode(record), record);
    }
    stamp.copyTo(this.#stamp, 0);
    return this.#byInode.get(inodeIn(this.#stamp, 0));
  }

  #append(stamp: FileStamp): number {
    const record = this.#count;
    if ((record + 1) * recordWords > this.#words.length) this.#grow();
    this.#count += 1;
    stamp.copyTo(this.#words, record * recordWords);
    this.#byInode?.set(this.#inode(record), record);
    return record;
  }

  #grow(): void {
    const capacity = Math.max(1024, this.#count * 2);
    const words = new Int32Array(capacity * recordWords);
    words.set(this.#words);
    const asked = new Uint8Array(capacity);
    asked.set(this.#asked);
    this.#words = words;
    this.#bytes = bytesOf(words);
    this.#asked = asked;
  }

  #inode(record: number): number {
    return inodeIn(this.#words, record * recordWords);
  }
}

/** A stamp begins with the inode. Two that differ above 2^53 share a place here; the whole stamp is compared as well. */
function inodeIn(words: Int32Array, at: number): number {
  return ((words[at] ?? 0) >>> 0) + ((words[at + 1] ?? 0) >>> 0) * 2 ** 32;
}

function wordsOf(file: Buffer): Int32Array | undefined {
  const end = file.length - sumSize;
  const size = end - magic.length;
  if (size < 0 || size % recordSize !== 0 || file.toString('latin1', 0, magic.length) !== magic) return undefined;
  if (!createHash('sha256').update(file.subarray(0, end)).digest().equals(file.subarray(end))) return undefined;
  // In memory of its own: a small Buffer may begin at an offset that is no multiple of 4.
  const words = new Int32Array(size / 4);
  file.copy(bytesOf(words), 0, magic.length, end);
  return words;
}

function bytesOf(words: Int32Array): Buffer {
  return Buffer.from(words.buffer, words.byteOffset, words.byteLength);
}
