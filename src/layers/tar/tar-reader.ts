/**
 * Reads a tar archive that arrives in chunks, synchronously: POSIX pax and ustar, GNU (long names, base-256 numbers,
 * all sparse forms), V7. Where readers differ it reads as Go's archive/tar does, for that is what the engines unpack
 * layers with: global PAX headers change nothing, links have no content.
 * Invariants: memory does not grow with the archive; bad input throws TsbuildError `tar-*` and nothing else; every
 * write consumes its whole chunk.
 *
 * tar-stream reads the archives of whole images (src/layers/archive). Layers need what it does not give: names and
 * xattrs as raw bytes, PAX ids and times, sparse files, limits, an end at the zero blocks, and no stream per entry
 * (five times the CPU for small files).
 */

import { type PaxRecords, parsePaxRecords } from './pax.ts';
import {
  checkSegments,
  oldGnuIsExtended,
  oldGnuRealSize,
  oldGnuSegments,
  paxSparse,
  SparseMapReader,
  type SparseSegment,
} from './sparse.ts';
import { buildEntry, storedSize, type TarEntry } from './tar-entry.ts';
import { shown, tarError } from './tar-errors.ts';
import { blockSize, paddingOf } from './tar-format.ts';
import { isZeroBlock, parseHeader, type RawHeader } from './tar-header.ts';
import { defaultTarLimits, type TarLimits } from './tar-limits.ts';

export interface TarHandlers {
  onEntry(entry: TarEntry): void;
  /** Content of the current file, in order; what lies between the pieces and at the end up to the size is zeros. */
  onData(chunk: Buffer, position: number): void;
  onEntryEnd(entry: TarEntry): void;
}

export interface TarReader {
  /** The chunk is not kept, nor is what onData got a copy of it. */
  write(chunk: Buffer): void;
  /** @throws TsbuildError `tar-truncated` when the archive ends inside an entry */
  end(): void;
}

/** What the bytes at hand are. */
type State =
  | { readonly kind: 'header' }
  | { readonly kind: 'extended'; readonly typeflag: string; readonly data: Buffer; filled: number; padding: number }
  | {
      readonly kind: 'gnu-segments';
      readonly header: RawHeader;
      readonly realSize: number;
      readonly segments: SparseSegment[];
    }
  | {
      readonly kind: 'map';
      readonly header: RawHeader;
      readonly realSize: number;
      readonly name: string | undefined;
      readonly reader: SparseMapReader;
      left: number;
    }
  | {
      readonly kind: 'data';
      readonly entry: TarEntry;
      left: number;
      segment: number;
      inSegment: number;
      padding: number;
    }
  | { readonly kind: 'skip'; left: number }
  | { readonly kind: 'ended' };

export function createTarReader(handlers: TarHandlers, limits: TarLimits = defaultTarLimits): TarReader {
  const partial = Buffer.alloc(blockSize);
  let partialLength = 0;
  /** Bytes of the archive before the chunk being read. */
  let base = 0;
  let state: State = { kind: 'header' };
  let zeroBlock = false;
  let records: PaxRecords = [];
  let longName: string | undefined;
  let longLink: string | undefined;
  let entries = 0;
  let extendedBytes = 0;

  return { write, end };

  function write(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (state.kind === 'ended') break;
      if (state.kind === 'data') at += takeData(state, chunk, at);
      else if (state.kind === 'extended') at += takeExtended(state, chunk, at);
      else if (state.kind === 'skip') at += takeSkip(state, chunk.length - at);
      else if (partialLength === 0 && chunk.length - at >= blockSize) {
        takeBlock(chunk, at, base + at + blockSize);
        at += blockSize;
      } else {
        const taken = Math.min(blockSize - partialLength, chunk.length - at);
        chunk.copy(partial, partialLength, at, at + taken);
        partialLength += taken;
        at += taken;
        if (partialLength === blockSize) {
          partialLength = 0;
          takeBlock(partial, 0, base + at);
        }
      }
    }
    base += chunk.length;
    if (base > limits.total) tarError('tar-limit', `the archive has more than ${limits.total} bytes`);
  }

  function end(): void {
    if (state.kind === 'ended') return;
    // Archives without the final zero blocks exist; an entry cut short does not count as one.
    const atHeader = state.kind === 'header' && partialLength === 0;
    const pending = records.length > 0 || longName !== undefined || longLink !== undefined;
    // The padding of the last entry may be missing: no content is lost with it.
    if (!(atHeader || (state.kind === 'skip' && partialLength === 0)) || pending) {
      tarError('tar-truncated', `the archive ends inside an entry, after ${base} bytes`);
    }
  }

  /** @param next offset in the archive of what follows the block */
  function takeBlock(block: Buffer, at: number, next: number): void {
    if (state.kind === 'gnu-segments') return takeGnuSegments(state, block, at, next);
    if (state.kind === 'map') return takeMap(state, block, at, next);
    if (isZeroBlock(block, at)) {
      if (zeroBlock) state = { kind: 'ended' };
      zeroBlock = true;
      return;
    }
    if (zeroBlock) return tarError('tar-invalid', 'a lone block of zeros is followed by more data');
    const header = parseHeader(block, at);
    switch (header.typeflag) {
      case 'x':
      case 'X':
      case 'g':
      case 'L':
      case 'K':
        return startExtended(header);
      case 'V':
        state = skipping(header.size + paddingOf(header.size));
        return;
      case 'S': {
        const realSize = oldGnuRealSize(block, at);
        const segments = oldGnuSegments(block, at, false);
        if (oldGnuIsExtended(block, at, false)) state = { kind: 'gnu-segments', header, realSize, segments };
        else startEntry(header, next, { realSize, segments });
        return;
      }
      default:
        return startFromRecords(header, next);
    }
  }

  function startExtended(header: RawHeader): void {
    const { size } = header;
    extendedBytes += size;
    const allowed = 64 * 1024 * 1024 + entries * limits.extendedHeadersPerEntry;
    if (size > limits.extendedHeader || extendedBytes > allowed) {
      return tarError('tar-limit', `an extended header of ${size} bytes is more than an archive may have`);
    }
    if (size === 0) return;
    state = {
      kind: 'extended',
      typeflag: header.typeflag,
      data: Buffer.alloc(size),
      filled: 0,
      padding: paddingOf(size),
    };
  }

  function takeExtended(current: State & { kind: 'extended' }, chunk: Buffer, at: number): number {
    const taken = Math.min(current.data.length - current.filled, chunk.length - at);
    chunk.copy(current.data, current.filled, at, at + taken);
    current.filled += taken;
    if (current.filled < current.data.length) return taken;
    const { data, typeflag } = current;
    const nul = data.indexOf(0);
    if (typeflag === 'L') longName = data.toString('latin1', 0, nul < 0 ? data.length : nul);
    else if (typeflag === 'K') longLink = data.toString('latin1', 0, nul < 0 ? data.length : nul);
    else if (typeflag !== 'g') records = parsePaxRecords(data);
    state = skipping(current.padding);
    return taken;
  }

  function startFromRecords(header: RawHeader, next: number): void {
    const sparse = records.length === 0 ? undefined : paxSparse(records, limits.sparseSegments);
    if (sparse === undefined || storedKind(header) !== 'file') return startEntry(header, next, undefined);
    const { realSize, name, segments } = sparse;
    if (segments) return startEntry(header, next, { realSize, segments, name });
    const left = storedSize(header, { records, longName, longLink });
    state = { kind: 'map', header, realSize, name, reader: new SparseMapReader(limits.sparseSegments), left };
  }

  function takeGnuSegments(current: State & { kind: 'gnu-segments' }, block: Buffer, at: number, next: number): void {
    current.segments.push(...oldGnuSegments(block, at, true));
    if (current.segments.length > limits.sparseSegments) {
      return tarError('tar-limit', `a sparse file has more than ${limits.sparseSegments} segments`);
    }
    if (!oldGnuIsExtended(block, at, true)) startEntry(current.header, next, current);
  }

  function takeMap(current: State & { kind: 'map' }, block: Buffer, at: number, next: number): void {
    if (current.left < blockSize) return tarError('tar-invalid', 'a sparse map is longer than its file');
    current.left -= blockSize;
    const segments = current.reader.block(block.subarray(at, at + blockSize));
    if (segments) startEntry(current.header, next, { ...current, segments, stored: current.left });
  }

  function startEntry(
    header: RawHeader,
    offset: number,
    sparse:
      | { realSize: number; segments: readonly SparseSegment[]; name?: string | undefined; stored?: number }
      | undefined,
  ): void {
    entries += 1;
    if (entries > limits.entries) return tarError('tar-limit', `the archive has more than ${limits.entries} entries`);
    const overrides = { records, longName: longName ?? sparse?.name, longLink };
    const stored = sparse?.stored ?? storedSize(header, overrides);
    const size = sparse?.realSize ?? stored;
    const plain = buildEntry(header, overrides, size, offset);
    if (size > limits.fileSize) {
      return tarError('tar-limit', `the file ${shown(plain.name)} has ${size} bytes; ${limits.fileSize} are allowed`);
    }
    const entry = sparse ? { ...plain, segments: checkSegments(sparse.segments, size, stored) } : plain;
    records = [];
    longName = undefined;
    longLink = undefined;
    handlers.onEntry(entry);
    if (stored === 0 || entry.kind !== 'file') {
      handlers.onEntryEnd(entry);
      state = skipping(stored + paddingOf(stored));
    } else {
      state = { kind: 'data', entry, left: stored, segment: 0, inSegment: 0, padding: paddingOf(stored) };
    }
  }

  function takeData(current: State & { kind: 'data' }, chunk: Buffer, at: number): number {
    const { entry } = current;
    let taken = Math.min(current.left, chunk.length - at);
    if (entry.segments) {
      const segment = entry.segments[current.segment] ?? { position: 0, length: 0 };
      taken = Math.min(taken, segment.length - current.inSegment);
      handlers.onData(chunk.subarray(at, at + taken), segment.position + current.inSegment);
      current.inSegment += taken;
      if (current.inSegment === segment.length) {
        current.segment += 1;
        current.inSegment = 0;
      }
    } else {
      handlers.onData(chunk.subarray(at, at + taken), entry.size - current.left);
    }
    current.left -= taken;
    if (current.left === 0) {
      state = skipping(current.padding);
      handlers.onEntryEnd(entry);
    }
    return taken;
  }

  function takeSkip(current: State & { kind: 'skip' }, available: number): number {
    const taken = Math.min(current.left, available);
    current.left -= taken;
    if (current.left === 0) state = { kind: 'header' };
    return taken;
  }
}

function skipping(left: number): State {
  return left === 0 ? { kind: 'header' } : { kind: 'skip', left };
}

function storedKind(header: RawHeader): 'file' | 'other' {
  return header.typeflag === '0' || header.typeflag === '7' || header.typeflag === '\0' ? 'file' : 'other';
}
