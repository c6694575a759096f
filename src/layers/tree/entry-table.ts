/**
 * Many layer entries as columns of numbers and one text: 20,000 of them cross to a worker, or 100,000 go to a file, in
 * a few milliseconds, where as many objects would take a hundred.
 * Invariant: a table read back gives the same entries in the same order; its text is latin1, so names keep their bytes.
 */
import { type BytePath, TsbuildError } from '../../core/index.ts';
import type { SparseSegment } from '../tar/sparse.ts';
import type { EntryContent, EntryKind, LayerEntry } from '../types.ts';

/** The kinds of a table: those of entries, and what only a layer's index holds. */
export const tableKinds = [
  'file',
  'directory',
  'symlink',
  'hardlink',
  'fifo',
  'char',
  'block',
  'whiteout',
  'opaque',
] as const;
export type TableKind = (typeof tableKinds)[number];

/** What few entries have. Bytes are base64. */
export interface Extra {
  readonly device?: { readonly major: number; readonly minor: number };
  readonly xattrs?: readonly (readonly [name: string, base64: string])[];
  readonly segments?: readonly SparseSegment[];
}

export interface EntryTable {
  readonly count: number;
  readonly kinds: Uint8Array;
  readonly modes: Uint16Array;
  readonly uids: Uint32Array;
  readonly gids: Uint32Array;
  readonly sizes: Float64Array;
  readonly mtimes: BigInt64Array;
  /** Path, link target and content path of each entry, one after the other; `textEnds` has three ends for each. */
  readonly text: Uint8Array;
  readonly textEnds: Uint32Array;
  /** Index into `sources`, -1 without content; and the offset there. */
  readonly sourceOf: Int32Array;
  readonly offsets: Float64Array;
  /** Directories of contents (`d` and the path), files of ranges (`f` and the path), or `b`: the table's own bytes. */
  readonly sources: readonly string[];
  readonly bytes: Uint8Array;
  /** By entry number. */
  readonly extras: Readonly<Record<number, Extra>>;
}

/** An entry to put into a table: a LayerEntry, or a mark of a layer's index with only a path. */
export type TableEntry = Omit<LayerEntry, 'kind'> & { readonly kind: TableKind };

/** Where in its archive an entry without a content of its own has its bytes. */
export interface Stored {
  readonly offset: number;
  readonly segments?: readonly SparseSegment[] | undefined;
}

export class EntryTableBuilder {
  readonly #kinds = new Column(Uint8Array);
  readonly #modes = new Column(Uint16Array);
  readonly #uids = new Column(Uint32Array);
  readonly #gids = new Column(Uint32Array);
  readonly #sizes = new Column(Float64Array);
  readonly #mtimes = new Column(BigInt64Array);
  readonly #textEnds = new Column(Uint32Array);
  readonly #sourceOf = new Column(Int32Array);
  readonly #offsets = new Column(Float64Array);
  readonly #text = new ByteColumn();
  readonly #bytes = new ByteColumn();
  readonly #sources = new Map<string, number>();
  readonly #extras: Record<number, Extra> = {};

  add(entry: TableEntry, stored: Stored | undefined = undefined): void {
    const { content } = entry;
    const number = this.#kinds.length;
    this.#kinds.push(tableKinds.indexOf(entry.kind));
    this.#modes.push(entry.mode);
    this.#uids.push(entry.uid);
    this.#gids.push(entry.gid);
    this.#sizes.push(entry.size);
    this.#mtimes.push(entry.mtime);
    this.#addText(entry.path);
    this.#addText(entry.linkTarget ?? '');
    this.#addText(content?.kind === 'file' ? content.path : '');
    this.#sourceOf.push(content ? this.#source(content) : -1);
    this.#offsets.push(content ? this.#offset(content) : (stored?.offset ?? 0));
    const segments = stored?.segments ?? (content?.kind === 'range' ? content.segments : undefined);
    if (entry.device || entry.xattrs || segments) {
      this.#extras[number] = {
        ...(entry.device && { device: entry.device }),
        ...(entry.xattrs && { xattrs: [...entry.xattrs].map(([name, value]) => [name, base64Of(value)] as const) }),
        ...(segments && { segments }),
      };
    }
  }

  build(): EntryTable {
    return {
      count: this.#kinds.length,
      kinds: this.#kinds.values(),
      modes: this.#modes.values(),
      uids: this.#uids.values(),
      gids: this.#gids.values(),
      sizes: this.#sizes.values(),
      mtimes: this.#mtimes.values(),
      text: this.#text.values(),
      textEnds: this.#textEnds.values(),
      sourceOf: this.#sourceOf.values(),
      offsets: this.#offsets.values(),
      sources: [...this.#sources.keys()],
      bytes: this.#bytes.values(),
      extras: this.#extras,
    };
  }

  #addText(text: string): void {
    this.#textEnds.push(text === '' ? this.#text.length : this.#text.pushText(text));
  }

  #source(content: EntryContent): number {
    const name = content.kind === 'file' ? `d${content.root}` : content.kind === 'range' ? `f${content.file}` : 'b';
    const known = this.#sources.get(name);
    if (known !== undefined) return known;
    const next = this.#sources.size;
    this.#sources.set(name, next);
    return next;
  }

  #offset(content: EntryContent): number {
    if (content.kind === 'range') return content.offset;
    if (content.kind === 'file') return 0;
    const at = this.#bytes.length;
    this.#bytes.push(content.bytes);
    return at;
  }
}

type Numbers = Uint8Array | Uint16Array | Uint32Array | Int32Array | Float64Array | BigInt64Array;

/** A typed array that grows. */
class Column<T extends Numbers> {
  readonly #type: new (
    length: number,
  ) => T;
  #array: T;
  length = 0;

  constructor(type: new (length: number) => T) {
    this.#type = type;
    this.#array = new type(firstLength);
  }

  push(value: T[number]): void {
    if (this.length === this.#array.length) {
      const larger = new this.#type(this.length * 2);
      // One of the types of Numbers, and the other array is of the same.
      (larger as Uint8Array).set(this.#array as Uint8Array);
      this.#array = larger;
    }
    this.#array[this.length++] = value;
  }

  /** What was put; whatever is put later is not in it. */
  values(): T {
    return this.#array.slice(0, this.length) as T;
  }
}

const firstLength = 64;

/** Texts and bytes one after the other, in memory that grows. */
class ByteColumn {
  #buffer = Buffer.allocUnsafeSlow(1024);
  length = 0;

  push(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** @param text latin1  @returns the length with it */
  pushText(text: string): number {
    this.#reserve(text.length);
    this.length += this.#buffer.write(text, this.length, 'latin1');
    return this.length;
  }

  /** In memory of its own: small Buffers share one, which cannot be handed to another thread. */
  values(): Uint8Array {
    return new Uint8Array(this.#buffer.subarray(0, this.length));
  }

  #reserve(count: number): void {
    if (this.length + count <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.length + count, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.length);
    this.#buffer = larger;
  }
}

export function packEntries(entries: Iterable<LayerEntry>): EntryTable {
  const builder = new EntryTableBuilder();
  for (const entry of entries) builder.add(entry);
  return builder.build();
}

/** Reads a table's entries; paths are cut from one string, which is made once. */
export class EntryTableView {
  readonly table: EntryTable;
  readonly #text: Buffer;

  constructor(table: EntryTable) {
    this.table = table;
    this.#text = Buffer.from(table.text.buffer, table.text.byteOffset, table.text.byteLength);
  }

  kind(number: number): TableKind {
    return tableKinds[this.table.kinds[number] ?? -1] ?? damaged();
  }

  path(number: number): BytePath {
    return this.#cut(number * 3);
  }

  linkTarget(number: number): BytePath {
    return this.#cut(number * 3 + 1);
  }

  /** Offset of the stored content: in the source, or in the archive the table is an index of. */
  offset(number: number): number {
    return this.table.offsets[number] ?? 0;
  }

  segments(number: number): readonly SparseSegment[] | undefined {
    return this.table.extras[number]?.segments;
  }

  /** @throws TsbuildError `internal` for a whiteout or an opaque mark, which are no entries */
  entry(number: number): LayerEntry {
    const { table } = this;
    const kind = this.kind(number);
    if (kind === 'whiteout' || kind === 'opaque') return damaged();
    const extra = table.extras[number];
    // One shape for all: see `HeaderFields`.
    return {
      path: this.path(number),
      kind: kind satisfies EntryKind,
      mode: table.modes[number] ?? 0,
      uid: table.uids[number] ?? 0,
      gid: table.gids[number] ?? 0,
      size: table.sizes[number] ?? 0,
      mtime: table.mtimes[number] ?? 0n,
      linkTarget: kind === 'symlink' || kind === 'hardlink' ? this.linkTarget(number) : undefined,
      device: extra?.device,
      xattrs: extra?.xattrs && xattrsOf(extra.xattrs),
      content: this.#content(number),
    };
  }

  #content(number: number): EntryContent | undefined {
    const { table } = this;
    const source = table.sources[table.sourceOf[number] ?? -1];
    if (source === undefined) return undefined;
    const offset = table.offsets[number] ?? 0;
    const path = source.slice(1);
    if (source.startsWith('d')) return { kind: 'file', root: path, path: this.#cut(number * 3 + 2) };
    if (source.startsWith('b')) {
      return { kind: 'bytes', bytes: table.bytes.subarray(offset, offset + (table.sizes[number] ?? 0)) };
    }
    const segments = table.extras[number]?.segments;
    return { kind: 'range', file: path, offset, ...(segments && { segments }) };
  }

  #cut(text: number): BytePath {
    const ends = this.table.textEnds;
    return this.#text.toString('latin1', text === 0 ? 0 : ends[text - 1], ends[text]) as BytePath;
  }
}

/** The buffers to hand over, not copy, when a table goes to another thread. */
export function transferables(table: EntryTable): ArrayBuffer[] {
  const { kinds, modes, uids, gids, sizes, mtimes, text, textEnds, sourceOf, offsets, bytes } = table;
  const columns = [kinds, modes, uids, gids, sizes, mtimes, text, textEnds, sourceOf, offsets, bytes];
  return columns.map((column) => column.buffer as ArrayBuffer);
}

function xattrsOf(pairs: readonly (readonly [string, string])[]): Map<string, Uint8Array> {
  return new Map(pairs.map(([name, value]) => [name, Buffer.from(value, 'base64')]));
}

function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

function damaged(): never {
  throw new TsbuildError({ code: 'internal', message: 'a table of entries is damaged' });
}
