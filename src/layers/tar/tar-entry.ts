/**
 * One entry of an archive, put together from its header block and the extended headers before it.
 * Invariant: names are the archive's own bytes, not yet made safe (see layer-path.ts); sizes are exact.
 */
import type { BytePath } from '../../core/index.ts';
import type { EntryKind } from '../types.ts';
import { type PaxRecords, parsePaxTime } from './pax.ts';
import type { SparseSegment } from './sparse.ts';
import { shown, tarError } from './tar-errors.ts';
import type { RawHeader } from './tar-header.ts';

export interface TarEntry {
  /** As the archive has it: perhaps absolute, with `..`, or with a trailing slash. */
  readonly name: BytePath;
  readonly kind: EntryKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of the file, holes included; 0 unless a file. */
  readonly size: number;
  /** Nanoseconds since 1970. */
  readonly mtime: bigint;
  readonly linkTarget?: BytePath | undefined;
  readonly device?: { readonly major: number; readonly minor: number } | undefined;
  readonly xattrs?: ReadonlyMap<string, Uint8Array> | undefined;
  /** Where the stored bytes begin in the uncompressed archive. */
  readonly offset: number;
  /** Where the stored bytes belong in the file; undefined: they are the file. */
  readonly segments?: readonly SparseSegment[] | undefined;
}

/** What extended headers collected for the entry that follows them. */
export interface Overrides {
  readonly records: PaxRecords;
  readonly longName: string | undefined;
  readonly longLink: string | undefined;
}

/** ext4 and XFS hold no later time; the addon takes 64 bits. */
const largestTime = 0x7fffffffffffffffn;
/** (uid_t)-1 means "leave it" to chown(2). */
const largestId = 0xfffffffe;

const kinds: Readonly<Record<string, EntryKind>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  D: 'directory',
  '6': 'fifo',
};

/** Bytes stored after the header: the kinds that have no content have none, whatever the size says (as Go and GNU tar read it). */
export function storedSize(header: RawHeader, overrides: Overrides): number {
  const { records } = overrides;
  const kind = kindOf(header, nameOf(header, overrides));
  if (kind !== 'file' && header.typeflag !== 'D') return 0;
  const size = lastValue(records, 'size');
  return size === undefined ? header.size : decimal(size, 'size', Number.MAX_SAFE_INTEGER);
}

/** @throws TsbuildError `tar-invalid`, `tar-unsupported` */
export function buildEntry(header: RawHeader, overrides: Overrides, size: number, offset: number): TarEntry {
  const { records } = overrides;
  const name = nameOf(header, overrides);
  const kind = kindOf(header, name);
  const uid = lastValue(records, 'uid');
  const gid = lastValue(records, 'gid');
  const mtime = lastValue(records, 'mtime');
  const link = overrides.longLink ?? lastValue(records, 'linkpath') ?? header.linkName;
  if (name.includes('\0') || link.includes('\0')) return tarError('tar-invalid', 'a name has a NUL');
  if ((kind === 'symlink' || kind === 'hardlink') && link === '') {
    return tarError('tar-invalid', `the link ${shown(name)} has no target`);
  }
  return {
    name: name as BytePath,
    kind,
    mode: header.mode & 0o7777,
    uid: uid === undefined ? bounded(header.uid, 'uid') : decimal(uid, 'uid', largestId),
    gid: gid === undefined ? bounded(header.gid, 'gid') : decimal(gid, 'gid', largestId),
    size: kind === 'file' ? size : 0,
    mtime: clampTime(mtime === undefined ? header.mtime * 1_000_000_000n : parsePaxTime(mtime)),
    // One shape for all: see `HeaderFields`.
    linkTarget: kind === 'symlink' || kind === 'hardlink' ? (link as BytePath) : undefined,
    device: kind === 'char' || kind === 'block' ? { major: header.deviceMajor, minor: header.deviceMinor } : undefined,
    xattrs: xattrsOf(records),
    offset,
    segments: undefined,
  };
}

function nameOf(header: RawHeader, { records, longName }: Overrides): string {
  return longName ?? lastValue(records, 'path') ?? header.name;
}

function kindOf(header: RawHeader, name: string): EntryKind {
  const kind = kinds[header.typeflag];
  if (kind === undefined) {
    return tarError('tar-unsupported', `the entry ${shown(name)} is of the type ${shown(header.typeflag)}`);
  }
  // V7 had no type for directories.
  return header.typeflag === '\0' && name.endsWith('/') ? 'directory' : kind;
}

/** The last one counts; an empty value takes the key back. */
export function lastValue(records: PaxRecords, key: string): string | undefined {
  let found: string | undefined;
  for (const [name, value] of records) if (name === key) found = value === '' ? undefined : value;
  return found;
}

function xattrsOf(records: PaxRecords): Map<string, Uint8Array> | undefined {
  let found: Map<string, Uint8Array> | undefined;
  for (const [key, value] of records) {
    const star = key.startsWith('SCHILY.xattr.');
    if (!star && !key.startsWith('LIBARCHIVE.xattr.')) continue;
    const attribute = star ? key.slice('SCHILY.xattr.'.length) : percentDecoded(key.slice('LIBARCHIVE.xattr.'.length));
    if (attribute === '' || attribute.includes('\0')) return tarError('tar-invalid', 'an xattr has no proper name');
    found ??= new Map();
    // libarchive writes both forms; star's is the exact one.
    if (star) found.set(attribute, Buffer.from(value, 'latin1'));
    else if (!found.has(attribute)) found.set(attribute, Buffer.from(value, 'base64'));
  }
  return found;
}

function percentDecoded(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function decimal(text: string, what: string, largest: number): number {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= largest)) return tarError('tar-invalid', `a PAX ${what} reads ${shown(text)}`);
  return value;
}

function bounded(id: number, what: string): number {
  return id <= largestId ? id : tarError('tar-invalid', `a header's ${what} is out of range: ${id}`);
}

function clampTime(nanoseconds: bigint): bigint {
  if (nanoseconds > largestTime) return largestTime;
  return nanoseconds < -largestTime ? -largestTime : nanoseconds;
}
