/**
 * Stamps of files with the digests of their contents, as one run of numbers that is kept in a file as it is. Files are
 * mostly asked for in the order they were remembered in, so the next record is tried before an index is made.
 *
 * Invariant: a file that is damaged, or of another version or byte order, is read as no records.
 */
import { createHash } from 'node:crypto';
import { endianness } from 'node:os';
import type { Digest } from '../../image/index.ts';
import { type FileStamp, stampInode, stampWords } from '../../layers/index.ts';

const magic = `tsbhash2 ${endianness()}`.padEnd(16);
const stampSize = stampWords * 4;
/** Digests are kept as their text: `sha256:` and 64 digits. */
const digestSize = 71;
const sumSize = 32;
/** How many records nobody asked for are kept: builds of other targets ask for other files. */
const spare = 50_000;

export class HashRecords {
  /** One stamp after the other. */
  #stamps: Int32Array;
  readonly #digests: (Digest | undefined)[];
  /** Digests of the file that was read, one after the other, cut when they are asked for. */
  readonly #text: string;
  #count: number;
  /** Records in the order they were asked for, and whether each was. */
  readonly #order: number[] = [];
  #asked: Uint8Array;
  #next = 0;
  #byInode: Map<number, number> | undefined;

  /** @param file what `format` gave */
  constructor(file?: Buffer) {
    const { stamps, text } = (file && parse(file)) ?? nothing;
    this.#stamps = stamps;
    this.#text = text;
    this.#count = stamps.length / stampWords;
    this.#digests = [];
    this.#asked = new Uint8Array(this.#count);
  }

  get({ records, entry }: FileStamp): Digest | undefined {
    let record = this.#next;
    if (record >= this.#count || !records.hasStamp(entry, this.#stamps, record * stampWords)) {
      const found = this.#find(records.inode(entry));
      if (found === undefined || !records.hasStamp(entry, this.#stamps, found * stampWords)) return undefined;
      record = found;
    }
    this.#next = record + 1;
    this.#ask(record);
    return this.#digest(record);
  }

  /** @param digest sha256 */
  set({ records, entry }: FileStamp, digest: Digest): void {
    const inode = records.inode(entry);
    const record = this.#find(inode) ?? this.#append();
    records.copyStamp(entry, this.#stamps, record * stampWords);
    this.#digests[record] = digest;
    this.#byInode?.set(inode, record);
    this.#ask(record);
  }

  /** Forgets whatever is remembered of the file's inode. @returns whether something was */
  delete({ records, entry }: FileStamp): boolean {
    const inode = records.inode(entry);
    const record = this.#find(inode);
    if (record === undefined) return false;
    this.#byInode?.delete(inode);
    this.#stamps.fill(0, record * stampWords, (record + 1) * stampWords);
    return true;
  }

  /** Magic, stamps, digests, sha256 of it all; records in the order they were asked for, the others unless they are many. */
  format(): Buffer {
    const kept = [...this.#order];
    if (this.#count < 2 * kept.length + spare) {
      for (let record = 0; record < this.#count; record++) if (this.#asked[record] === 0) kept.push(record);
    }
    const present = kept.filter((record) => inodeAt(this.#stamps, record) !== 0);
    const file = Buffer.alloc(magic.length + present.length * (stampSize + digestSize) + sumSize);
    let at = file.write(magic, 'latin1');
    const stamps = bytesOf(this.#stamps);
    for (const record of present) at += stamps.copy(file, at, record * stampSize, (record + 1) * stampSize);
    for (const record of present) at += file.write(this.#digest(record), at, 'latin1');
    createHash('sha256').update(file.subarray(0, at)).digest().copy(file, at);
    return file;
  }

  #digest(record: number): Digest {
    const at = record * digestSize;
    // The file holds what `set` was given: its sum was verified.
    return this.#digests[record] ?? (this.#text.slice(at, at + digestSize) as Digest);
  }

  #ask(record: number): void {
    if (this.#asked[record] === 1) return;
    this.#asked[record] = 1;
    this.#order.push(record);
  }

  #find(inode: number): number | undefined {
    if (this.#byInode === undefined) {
      this.#byInode = new Map();
      for (let record = 0; record < this.#count; record++) this.#byInode.set(inodeAt(this.#stamps, record), record);
    }
    return this.#byInode.get(inode);
  }

  #append(): number {
    const record = this.#count;
    this.#count += 1;
    if (this.#count * stampWords <= this.#stamps.length) return record;
    const capacity = Math.max(1024, record * 2);
    const stamps = new Int32Array(capacity * stampWords);
    stamps.set(this.#stamps);
    this.#stamps = stamps;
    const asked = new Uint8Array(capacity);
    asked.set(this.#asked);
    this.#asked = asked;
    return record;
  }
}

function inodeAt(stamps: Int32Array, record: number): number {
  return stampInode(stamps, record * stampWords);
}

const nothing = { stamps: new Int32Array(0), text: '' };

function parse(file: Buffer): { readonly stamps: Int32Array; readonly text: string } | undefined {
  const end = file.length - sumSize;
  const count = (end - magic.length) / (stampSize + digestSize);
  if (!Number.isInteger(count) || count < 0 || file.toString('latin1', 0, magic.length) !== magic) return undefined;
  if (!createHash('sha256').update(file.subarray(0, end)).digest().equals(file.subarray(end))) return undefined;
  // In memory of its own: a small Buffer may begin at an offset that is no multiple of 4.
  const stamps = new Int32Array(count * stampWords);
  const textAt = magic.length + stamps.byteLength;
  file.copy(bytesOf(stamps), 0, magic.length, textAt);
  return { stamps, text: file.toString('latin1', textAt, end) };
}

function bytesOf(words: Int32Array): Buffer {
  return Buffer.from(words.buffer, words.byteOffset, words.byteLength);
}
