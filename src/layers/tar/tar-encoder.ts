/**
 * Tar headers, written byte by byte the same for the same entry: ustar, with a PAX extended header before it only when
 * a field does not fit (POSIX.1-2017, pax). No user or group names, no atime, no ctime.
 *
 * tar-stream packs the archives of whole images (src/layers/archive), where entries are few and their names ours. It
 * cannot write layers: names and xattr values that are not UTF-8 come out damaged, mode 0 becomes 0644, times outside
 * 1970 to 2038 are garbage, directories lose their slash, and an entry costs three times the CPU it does here.
 */
import type { BytePath } from '../../core/index.ts';
import type { EntryKind } from '../types.ts';
import { encodePaxRecords, formatPaxTime } from './pax.ts';
import { blockSize, type Field, field, paddingOf } from './tar-format.ts';

/**
 * What a header says about an entry: a LayerEntry without its content. Fields may be there and undefined: objects of one
 * shape, made without spreading, are read several times as fast.
 */
export interface HeaderFields {
  readonly path: BytePath;
  readonly kind: EntryKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: bigint;
  readonly linkTarget?: BytePath | undefined;
  readonly device?: { readonly major: number; readonly minor: number } | undefined;
  readonly xattrs?: ReadonlyMap<string, Uint8Array> | undefined;
}

const typeflags: Readonly<Record<EntryKind, number>> = {
  file: 0x30,
  hardlink: 0x31,
  symlink: 0x32,
  char: 0x33,
  block: 0x34,
  directory: 0x35,
  fifo: 0x36,
};
const paxTypeflag = 0x78;
const second = 1_000_000_000n;
/** Seven octal digits and NUL; eleven for size and mtime. */
const largestShort = 0o7777777;
const largestLong = 0o77777777777;
const paxName = 'PaxHeaders.0/entry';

/** Bytes of a header with the usual PAX header before it, of one block of records. */
export const headerRoom = 3 * blockSize;

/**
 * Writes the header, and the PAX header it may need, into `target` at `offset`, where `headerRoom` is free.
 * @returns the bytes they took; where that is too little, the blocks to be written instead
 */
export function encodeHeader(entry: HeaderFields, target: Buffer, offset: number): number | Buffer {
  const seconds = floorSeconds(entry.mtime);
  const name = entry.kind === 'directory' ? `${entry.path === '' ? '.' : entry.path}/` : entry.path;
  const split = name.length <= field.name[1] ? 0 : prefixLength(name);
  const link = entry.linkTarget ?? '';
  const fits =
    split >= 0 &&
    link.length <= field.linkName[1] &&
    entry.uid <= largestShort &&
    entry.gid <= largestShort &&
    entry.size <= largestLong &&
    seconds >= 0 &&
    seconds <= largestLong &&
    BigInt(seconds) * second === entry.mtime &&
    entry.xattrs === undefined;
  const records = fits ? '' : encodePaxRecords(recordsOf(entry, name, split));
  const extended = records === '' ? 0 : blockSize + records.length + paddingOf(records.length);
  const size = extended + blockSize;
  const [into, at] = size > headerRoom ? [Buffer.alloc(size), 0] : [target, offset];
  if (extended > 0) writePaxHeader(into, at, records, extended);
  writeBlock(into, at + extended, entry, name, split, seconds, typeflags[entry.kind]);
  return into === target ? size : into;
}

/** The same, as bytes of its own. */
export function headerBytes(entry: HeaderFields): Buffer {
  const room = Buffer.alloc(headerRoom);
  const written = encodeHeader(entry, room, 0);
  return typeof written === 'number' ? room.subarray(0, written) : written;
}

/** What ends an archive: two blocks of zeros. */
export function endOfArchive(): Buffer {
  return Buffer.alloc(2 * blockSize);
}

function recordsOf(entry: HeaderFields, name: string, split: number): [string, string][] {
  const records: [string, string][] = [];
  if (split < 0) records.push(['path', name]);
  if ((entry.linkTarget ?? '').length > field.linkName[1]) records.push(['linkpath', entry.linkTarget ?? '']);
  if (entry.uid > largestShort) records.push(['uid', String(entry.uid)]);
  if (entry.gid > largestShort) records.push(['gid', String(entry.gid)]);
  if (entry.size > largestLong) records.push(['size', String(entry.size)]);
  const seconds = floorSeconds(entry.mtime);
  if (seconds < 0 || seconds > largestLong || BigInt(seconds) * second !== entry.mtime) {
    records.push(['mtime', formatPaxTime(entry.mtime)]);
  }
  for (const [attribute, value] of entry.xattrs ?? []) {
    // A key ends at its first '=': such an attribute has no form in PAX.
    if (attribute.includes('=')) continue;
    const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1');
    records.push([`SCHILY.xattr.${attribute}`, text]);
  }
  const needsCharset = records.some(([key, value]) => (key === 'path' || key === 'linkpath') && !isUtf8(value));
  // POSIX: without it, readers take path and linkpath for UTF-8 and convert them.
  if (needsCharset) records.push(['hdrcharset', 'BINARY']);
  return records.sort((a, b) => (a[0] < b[0] ? -1 : 1)).sort(charsetFirst);
}

function charsetFirst(a: readonly [string, string], b: readonly [string, string]): number {
  return Number(b[0] === 'hdrcharset') - Number(a[0] === 'hdrcharset');
}

function isUtf8(latin1: string): boolean {
  const bytes = Buffer.from(latin1, 'latin1');
  return Buffer.from(bytes.toString('utf8'), 'utf8').equals(bytes);
}

function floorSeconds(nanoseconds: bigint): number {
  const whole = Number(nanoseconds / second);
  return nanoseconds < 0n && nanoseconds % second !== 0n ? whole - 1 : whole;
}

/** How many bytes of a long name go to the prefix field; -1 when no slash divides it so that both fit. */
function prefixLength(name: string): number {
  if (name.length > field.prefix[1] + 1 + field.name[1]) return -1;
  const slash = name.indexOf('/', name.length - field.name[1] - 1);
  return slash > 0 && slash <= field.prefix[1] && slash < name.length - 1 ? slash : -1;
}

/** @param length bytes of it, padding and all */
function writePaxHeader(target: Buffer, offset: number, records: string, length: number): void {
  const described: HeaderFields = {
    path: paxName as BytePath,
    kind: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: records.length,
    mtime: 0n,
    linkTarget: undefined,
    device: undefined,
    xattrs: undefined,
  };
  writeBlock(target, offset, described, paxName, 0, 0, paxTypeflag);
  target.fill(0, offset + blockSize, offset + length);
  target.write(records, offset + blockSize, 'latin1');
}

function writeBlock(
  target: Buffer,
  offset: number,
  entry: HeaderFields,
  name: string,
  split: number,
  seconds: number,
  typeflag: number,
): void {
  target.fill(0, offset, offset + blockSize);
  const rest = split > 0 ? name.slice(split + 1) : name;
  target.write(rest, offset, Math.min(rest.length, field.name[1]), 'latin1');
  if (split > 0) target.write(name, offset + field.prefix[0], split, 'latin1');
  writeOctal(target, offset, field.mode, entry.mode & 0o7777);
  writeOctal(target, offset, field.uid, entry.uid <= largestShort ? entry.uid : 0);
  writeOctal(target, offset, field.gid, entry.gid <= largestShort ? entry.gid : 0);
  const size = entry.kind === 'file' && entry.size <= largestLong ? entry.size : 0;
  writeOctal(target, offset, field.size, size);
  writeOctal(target, offset, field.mtime, seconds >= 0 && seconds <= largestLong ? seconds : 0);
  target[offset + field.typeflag[0]] = typeflag;
  const link = entry.linkTarget ?? '';
  if (link !== '') target.write(link, offset + field.linkName[0], Math.min(link.length, field.linkName[1]), 'latin1');
  target.write('ustar\x0000', offset + field.magic[0], 8, 'latin1');
  writeOctal(target, offset, field.deviceMajor, entry.device?.major ?? 0);
  writeOctal(target, offset, field.deviceMinor, entry.device?.minor ?? 0);
  writeChecksum(target, offset);
}

function writeOctal(target: Buffer, block: number, [offset, length]: Field, value: number): void {
  let rest = value;
  for (let at = block + offset + length - 2; at >= block + offset; at--) {
    // Not `>>`: sizes have more than 32 bits.
    target[at] = 0x30 + (rest % 8);
    rest = Math.floor(rest / 8);
  }
}

function writeChecksum(target: Buffer, block: number): void {
  const [offset] = field.checksum;
  // The field counts as eight spaces.
  let sum = 8 * 0x20;
  for (let at = block; at < block + blockSize; at++) sum += target[at] ?? 0;
  for (let at = block + offset + 5; at >= block + offset; at--) {
    target[at] = 0x30 + (sum & 7);
    sum >>= 3;
  }
  target[block + offset + 6] = 0;
  target[block + offset + 7] = 0x20;
}
