/**
 * Sparse files in tar archives: GNU's old form (typeflag S) and the PAX forms 0.0, 0.1 and 1.0 (GNU tar manual,
 * "Storing Sparse Files").
 * Invariant of a map: segments ascend, do not overlap, lie inside the file, and together are as long as what is stored.
 */
import type { PaxRecords } from './pax.ts';
import { tarError } from './tar-errors.ts';
import { blockSize } from './tar-format.ts';
import { number } from './tar-header.ts';

export interface SparseSegment {
  /** Position in the file, bytes. */
  readonly position: number;
  readonly length: number;
}

/** What PAX records say about a sparse file; undefined when it is none. */
export interface PaxSparse {
  readonly realSize: number;
  readonly name: string | undefined;
  /** Undefined: the map stands at the start of the stored data (1.0). */
  readonly segments: readonly SparseSegment[] | undefined;
}

export function paxSparse(records: PaxRecords, limit: number): PaxSparse | undefined {
  let realSize: string | undefined;
  let name: string | undefined;
  let map: string | undefined;
  let major = '';
  let minor = '';
  const numbers: string[] = [];
  for (const [key, value] of records) {
    if (!key.startsWith('GNU.sparse.')) continue;
    if (key === 'GNU.sparse.size' || key === 'GNU.sparse.realsize') realSize = value;
    else if (key === 'GNU.sparse.name') name = value;
    else if (key === 'GNU.sparse.map') map = value;
    else if (key === 'GNU.sparse.major') major = value;
    else if (key === 'GNU.sparse.minor') minor = value;
    else if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') numbers.push(value);
  }
  if (realSize === undefined) return undefined;
  const size = decimal(realSize);
  if (major === '1' && minor === '0') return { realSize: size, name, segments: undefined };
  if (major !== '' && major !== '0') return tarError('tar-unsupported', `sparse files of version ${major}.${minor}`);
  const list = map === undefined ? numbers : map === '' ? [] : map.split(',');
  if (list.length / 2 > limit) return tarError('tar-limit', `a sparse file has more than ${limit} segments`);
  return { realSize: size, name, segments: segmentsOf(list.map(decimal)) };
}

/** Four entries at 386 in a header, 21 at 0 in each extension block. */
export function oldGnuSegments(block: Buffer, at: number, extension: boolean): SparseSegment[] {
  const segments: SparseSegment[] = [];
  const start = extension ? 0 : 386;
  for (let i = 0; i < (extension ? 21 : 4); i++) {
    const entry = start + i * 24;
    if (block[at + entry] === 0) break;
    segments.push({
      position: exact(number(block, at, [entry, 12], 'sparse offset')),
      length: exact(number(block, at, [entry + 12, 12], 'sparse length')),
    });
  }
  return segments;
}

export function oldGnuIsExtended(block: Buffer, at: number, extension: boolean): boolean {
  return block[at + (extension ? 504 : 482)] !== 0;
}

export function oldGnuRealSize(block: Buffer, at: number): number {
  return exact(number(block, at, [483, 12], 'sparse size'));
}

/** Reads the map of form 1.0, which may need any number of blocks. */
export class SparseMapReader {
  readonly #numbers: number[] = [];
  readonly #limit: number;
  #text = '';
  #expected: number | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @returns the map when this block ended it */
  block(data: Buffer): readonly SparseSegment[] | undefined {
    const lines = (this.#text + data.toString('latin1', 0, blockSize)).split('\n');
    this.#text = lines.pop() ?? '';
    for (const line of lines) {
      if (this.#expected === undefined) {
        const count = decimal(line);
        if (count > this.#limit) return tarError('tar-limit', `a sparse file has more than ${this.#limit} segments`);
        this.#expected = count * 2;
      } else if (this.#numbers.length < this.#expected) {
        this.#numbers.push(decimal(line));
      }
    }
    if (this.#expected !== undefined && this.#numbers.length === this.#expected) return segmentsOf(this.#numbers);
    if (this.#text.length > 20) return tarError('tar-invalid', 'a sparse map is damaged');
    return undefined;
  }
}

/** @throws TsbuildError `tar-invalid` unless the map fits the file and what is stored of it */
export function checkSegments(
  segments: readonly SparseSegment[],
  realSize: number,
  stored: number,
): readonly SparseSegment[] {
  let end = 0;
  let total = 0;
  for (const { position, length } of segments) {
    if (position < end) return tarError('tar-invalid', 'a sparse map has overlapping segments');
    end = position + length;
    total += length;
  }
  if (end > realSize || total !== stored) {
    return tarError('tar-invalid', 'a sparse map does not fit the size of its file');
  }
  return segments.filter((segment) => segment.length > 0);
}

function segmentsOf(numbers: readonly number[]): SparseSegment[] {
  if (numbers.length % 2 !== 0) return tarError('tar-invalid', 'a sparse map has an odd count of numbers');
  const segments: SparseSegment[] = [];
  for (let i = 0; i < numbers.length; i += 2) segments.push({ position: numbers[i] ?? 0, length: numbers[i + 1] ?? 0 });
  return segments;
}

function decimal(text: string): number {
  return /^[0-9]{1,16}$/.test(text) ? Number(text) : tarError('tar-invalid', 'a sparse map is damaged');
}

function exact(value: bigint): number {
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) return tarError('tar-invalid', 'a sparse map is damaged');
  return Number(value);
}
