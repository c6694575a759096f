/**
 * The index of one layer: every entry with where its content lies in the uncompressed tar, and the whiteouts and opaque
 * marks, all in the archive's order, which decides what they mean.
 * Invariant: an index file is read whole or not at all: a damaged or foreign one is an error, never a smaller index.
 *
 * On disk: 8 bytes of magic, the lengths of the columns as JSON, then the columns, each at a multiple of 8.
 */
import { readFileSync } from 'node:fs';
import { type BytePath, systemErrorCode, TsbuildError } from '../../core/index.ts';
import { layerName } from '../tar/layer-path.ts';
import type { TarEntry } from '../tar/tar-entry.ts';
import { shown, tarError } from '../tar/tar-errors.ts';
import { entryAt } from './entry-at.ts';
import { type EntryTable, EntryTableBuilder, EntryTableView, type Extra } from './entry-table.ts';

export type LayerIndex = EntryTableView;

/** The number is the format's version. */
const magic = 'tsbindx1';

export class LayerIndexBuilder {
  readonly #builder = new EntryTableBuilder();

  add(entry: TarEntry): void {
    const name = layerName(entry.name);
    switch (name.kind) {
      case 'ignored':
        return;
      case 'whiteout':
      case 'opaque':
        this.#builder.add({ ...nothing, path: name.path, kind: name.kind });
        return;
      case 'entry': {
        if (name.path === '' && entry.kind !== 'directory') {
          tarError('tar-invalid', `${shown(entry.name)} would take the place of the root directory`);
        }
        this.#builder.add(entryAt(name.path, entry), entry);
      }
    }
  }

  build(): LayerIndex {
    return new EntryTableView(this.#builder.build());
  }
}

const nothing = { mode: 0, uid: 0, gid: 0, size: 0, mtime: 0n } as const;

/** Every column of a table with its type, in the order they are written. */
const columns = [
  ['mtimes', BigInt64Array],
  ['sizes', Float64Array],
  ['offsets', Float64Array],
  ['uids', Uint32Array],
  ['gids', Uint32Array],
  ['textEnds', Uint32Array],
  ['modes', Uint16Array],
  ['kinds', Uint8Array],
  ['text', Uint8Array],
] as const;

interface IndexHeader {
  readonly count: number;
  readonly textLength: number;
  readonly extras: Readonly<Record<number, Extra>>;
}

export function serializeLayerIndex({ table }: LayerIndex): Buffer {
  const header = JSON.stringify({ count: table.count, textLength: table.text.length, extras: table.extras });
  const headerBytes = Buffer.from(header, 'latin1');
  const length = Buffer.alloc(8);
  length.writeDoubleLE(headerBytes.length);
  const pieces: Uint8Array[] = [Buffer.from(magic), length, headerBytes, padding(headerBytes.length)];
  for (const [name] of columns) {
    const column = table[name];
    pieces.push(new Uint8Array(column.buffer, column.byteOffset, column.byteLength), padding(column.byteLength));
  }
  return Buffer.concat(pieces);
}

/** @throws TsbuildError `layer-damaged` */
export function parseLayerIndex(bytes: Buffer): LayerIndex {
  if (bytes.toString('latin1', 0, 8) !== magic || bytes.length < 16) return foreign();
  const headerLength = bytes.readDoubleLE(8);
  let header: IndexHeader;
  try {
    header = JSON.parse(bytes.toString('latin1', 16, 16 + headerLength)) as IndexHeader;
  } catch {
    return foreign();
  }
  const { count, textLength, extras } = header;
  // In memory that begins at a multiple of 8, as typed arrays need it.
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : Buffer.from(Uint8Array.from(bytes).buffer);
  let at = 16 + headerLength + padding(headerLength).length;
  const cut = <T>(type: ColumnType<T>, length: number): T => {
    const size = length * type.BYTES_PER_ELEMENT;
    if (at + size > aligned.length) return foreign();
    const column = new type(aligned.buffer, aligned.byteOffset + at, length);
    at += size + padding(size).length;
    return column;
  };
  const table: EntryTable = {
    count,
    mtimes: cut(BigInt64Array, count),
    sizes: cut(Float64Array, count),
    offsets: cut(Float64Array, count),
    uids: cut(Uint32Array, count),
    gids: cut(Uint32Array, count),
    textEnds: cut(Uint32Array, count * 3),
    modes: cut(Uint16Array, count),
    kinds: cut(Uint8Array, count),
    text: cut(Uint8Array, textLength),
    sourceOf: new Int32Array(0),
    sources: [],
    bytes: new Uint8Array(0),
    extras,
  };
  return new EntryTableView(table);
}

interface ColumnType<T> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, offset: number, length: number): T;
}

/** @throws TsbuildError `layer-damaged`, also when another process found it damaged and removed it */
export function readLayerIndex(path: string): LayerIndex {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') foreign();
    throw error;
  }
  return parseLayerIndex(bytes);
}

/** The entries of an index, whiteouts and opaque marks left out, as they stand in the archive. */
export function* indexEntries(index: LayerIndex): Generator<{ readonly number: number; readonly path: BytePath }> {
  for (let number = 0; number < index.table.count; number++) {
    const kind = index.kind(number);
    if (kind !== 'whiteout' && kind !== 'opaque') yield { number, path: index.path(number) };
  }
}

function padding(length: number): Uint8Array {
  return new Uint8Array((8 - (length % 8)) % 8);
}

function foreign(): never {
  throw new TsbuildError({
    code: 'layer-damaged',
    message: 'the index of a layer is damaged or of another version',
    hint: 'Remove the folder cache/layer-index of the store; it is made again.',
  });
}
