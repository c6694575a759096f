/**
 * Reads one header block: ustar, old V7, GNU (base-256 numbers).
 * Invariant: numbers are exact integers in the range of what they mean, else the archive is refused.
 */

import { shown, tarError } from './tar-errors.ts';
import { blockSize, type Field, field } from './tar-format.ts';

export interface RawHeader {
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: bigint;
  /** One character. */
  readonly typeflag: string;
  readonly linkName: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly isGnu: boolean;
}

export function isZeroBlock(block: Buffer, at: number): boolean {
  for (let i = at; i < at + blockSize; i++) if (block[i] !== 0) return false;
  return true;
}

/** @throws TsbuildError `tar-invalid` */
export function parseHeader(block: Buffer, at: number): RawHeader {
  if (!checksumMatches(block, at))
    return tarError('tar-invalid', 'a header has a wrong checksum: this is no tar archive, or it is damaged');
  const magic = block.toString('latin1', at + field.magic[0], at + field.magic[0] + 8);
  const isGnu = magic === 'ustar  \0';
  const isPosix = magic.startsWith('ustar\0') || (magic.startsWith('ustar') && !isGnu);
  let name = text(block, at, field.name);
  if (isPosix) {
    const prefix = text(block, at, field.prefix);
    if (prefix !== '') name = `${prefix}/${name}`;
  }
  const type = block[at + field.typeflag[0]] ?? 0;
  const hasDevice = type === 0x33 || type === 0x34;
  return {
    name,
    mode: integer(block, at, field.mode, 'mode'),
    uid: integer(block, at, field.uid, 'uid'),
    gid: integer(block, at, field.gid, 'gid'),
    size: integer(block, at, field.size, 'size'),
    mtime: number(block, at, field.mtime, 'mtime'),
    typeflag: String.fromCharCode(type),
    linkName: text(block, at, field.linkName),
    deviceMajor: hasDevice ? integer(block, at, field.deviceMajor, 'devmajor') : 0,
    deviceMinor: hasDevice ? integer(block, at, field.deviceMinor, 'devminor') : 0,
    isGnu,
  };
}

/** Octal, ended by space or NUL, or GNU's base-256. */
export function number(block: Buffer, at: number, [offset, length]: Field, what: string): bigint {
  const start = at + offset;
  const first = block[start] ?? 0;
  if (first & 0x80) {
    // Two's complement, big-endian; the top bit only marks the form.
    let value = BigInt(first & 0x7f);
    if (first & 0x40) value -= 0x80n;
    for (let i = start + 1; i < start + length; i++) value = value * 256n + BigInt(block[i] ?? 0);
    return value;
  }
  let i = start;
  const end = start + length;
  while (i < end && block[i] === 0x20) i++;
  let value = 0;
  let digits = 0;
  for (; i < end; i++) {
    const digit = (block[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
    digits++;
  }
  for (; i < end; i++) {
    const rest = block[i];
    if (rest !== 0 && rest !== 0x20) {
      return tarError('tar-invalid', `a header's ${what} is not a number: ${shown(text(block, at, [offset, length]))}`);
    }
  }
  return digits === 0 ? 0n : BigInt(value);
}

function integer(block: Buffer, at: number, where: Field, what: string): number {
  const value = number(block, at, where, what);
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) {
    return tarError('tar-invalid', `a header's ${what} is out of range: ${value}`);
  }
  return Number(value);
}

function text(block: Buffer, at: number, [offset, length]: Field): string {
  const start = at + offset;
  let end = start;
  while (end < start + length && block[end] !== 0) end++;
  return block.toString('latin1', start, end);
}

function checksumMatches(block: Buffer, at: number): boolean {
  const [offset, length] = field.checksum;
  const written = octalAt(block, at + offset, length);
  // The field itself counts as spaces.
  let sum = 0x20 * length;
  let high = 0;
  for (let i = at; i < at + offset; i++) {
    const byte = block[i] ?? 0;
    sum += byte;
    high += byte >> 7;
  }
  for (let i = at + offset + length; i < at + blockSize; i++) {
    const byte = block[i] ?? 0;
    sum += byte;
    high += byte >> 7;
  }
  // Old tars summed signed characters.
  return written === sum || written === sum - 256 * high;
}

/** -1 unless the field is octal digits between spaces and NULs. */
function octalAt(block: Buffer, start: number, length: number): number {
  let at = start;
  const end = start + length;
  const isBlank = () => block[at] === 0x20 || block[at] === 0;
  while (at < end && isBlank()) at++;
  let value = 0;
  const first = at;
  for (; at < end; at++) {
    const digit = (block[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  if (at === first) return -1;
  while (at < end && isBlank()) at++;
  return at === end ? value : -1;
}
