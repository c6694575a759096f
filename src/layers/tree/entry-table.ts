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
export type TableEntry = Omit<LayerEntry, 'kind'> & {
  readonly kind: TableKind;
  readonly offset?: number;
  readonly segments?: readonly SparseSegment[];
};

export class EntryTableBuilder {
  readonly #kinds: number[] = [];
  readonly #modes: number[] = [];
  readonly #uids: number[] = [];
  readonly #gids: number[] = [];
  readonly #sizes: number[] = [];
  readonly #mtimes: bigint[] = [];
  readonly #textEnds: number[] = [];
  readonly #sourceOf: number[] = [];
  readonly #offsets: number[] = [];
  readonly #sources = new Map<string, number>();
  readonly #bytes: Uint8Array[] = [];
  readonly #extras: Record<number, Extra> = {};
  #text: string[] = [];
  #textLength = 0;
  #bytesLength = 0;

  get count(): number {
    return this.#kinds.length;
  }

  add(entry: TableEntry): void {
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
    this.#offsets.push(content ? this.#offset(content) : (entry.offset ?? 0));
    const segments = entry.segments ?? (content?.kind === 'range' ? content.segments : undefined);
    if (entry.device || entry.xattrs || segments) {
      this.#extras[number] = {
        ...(entry.device && { device: entry.device }),
        ...(entry.xattrs && { xattrs: [...entry.xattrs].map(([name, value]) => [name, base64Of(value)] as const) }),
        ...(segments && { segments }),
      };
    }
  }

  build(): EntryTable {
    const bytes = new Uint8Array(this.#bytesLength);
    let at = 0;
    for (const piece of this.#bytes) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return {
      count: this.#kinds.length,
      kinds: Uint8Array.from(this.#kinds),
      modes: Uint16Array.from(this.#modes),
      uids: Uint32Array.from(this.#uids),
      gids: Uint32Array.from(this.#gids),
      sizes: Float64Array.from(this.#sizes),
      mtimes: BigInt64Array.from(this.#mtimes),
      text: latin1Bytes(this.#text.join('')),
      textEnds: Uint32Array.from(this.#textEnds),
      sourceOf: Int32Array.from(this.#sourceOf),
      offsets: Float64Array.from(this.#offsets),
      sources: [...this.#sources.keys()],
      bytes,
      extras: this.#extras,
    };
  }

  #addText(text: string): void {
    if (text !== '') this.#text.push(text);
    this.#textLength += text.length;
    this.#textEnds.push(this.#textLength);
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
    const at = this.#bytesLength;
    this.#bytes.push(content.bytes);
    this.#bytesLength += content.bytes.length;
    return at;
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
    const content = this.#content(number);
    return {
      path: this.path(number),
      kind: kind satisfies EntryKind,
      mode: table.modes[number] ?? 0,
      uid: table.uids[number] ?? 0,
      gid: table.gids[number] ?? 0,
      size: table.sizes[number] ?? 0,
      mtime: table.mtimes[number] ?? 0n,
      ...((kind === 'symlink' || kind === 'hardlink') && { linkTarget: this.linkTarget(number) }),
      ...(extra?.device && { device: extra.device }),
      ...(extra?.xattrs && { xattrs: xattrsOf(extra.xattrs) }),
      ...(content && { content }),
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

/** In memory of its own: small Buffers share one, which cannot be handed to another thread. */
function latin1Bytes(text: string): Uint8Array {
  const bytes = Buffer.alloc(text.length);
  bytes.write(text, 'latin1');
  return bytes.buffer.byteLength === bytes.length ? bytes : Uint8Array.from(bytes);
}

function damaged(): never {
  throw new TsbuildError({ code: 'internal', message: 'a table of entries is damaged' });
}
