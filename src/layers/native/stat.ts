/**
 * Stat records of the addon as values.
 * Invariant: a record's buffer is filled before it is read; inode numbers keep all 64 bits.
 */
import type { BytePath } from '../../core/index.ts';
import { native, statBytes, statSlot } from './addon.ts';

export const fileType = {
  mask: 0o170000,
  socket: 0o140000,
  symlink: 0o120000,
  regular: 0o100000,
  block: 0o060000,
  directory: 0o040000,
  char: 0o020000,
  fifo: 0o010000,
} as const;

export interface FileStat {
  /** One of `fileType`. */
  readonly type: number;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly links: number;
  readonly major: number;
  readonly minor: number;
  /** 512-byte blocks on disk: fewer than the size means holes. */
  readonly blocks: number;
  readonly fileSystem: bigint;
  readonly inode: bigint;
  /** Nanoseconds since 1970. */
  readonly mtime: bigint;
}

export interface ScannedEntry extends FileStat {
  readonly name: BytePath;
}

/** What a name in a directory is ('' for the descriptor itself), or undefined when there is none. */
export function statAt(dir: number, name: string): FileStat | undefined {
  const record = new Float64Array(statBytes / 8);
  if (!native.statAt(dir, name, record)) return undefined;
  return statOf(record, new BigInt64Array(record.buffer), 0);
}

/** A directory's entries in byte order of their names, whatever order the file system has. */
export function scanDirectory(fd: number): ScannedEntry[] {
  const packed = native.scanDirectory(fd);
  // A Buffer may begin at any offset; typed arrays need a multiple of 8.
  const aligned = packed.byteOffset % 8 === 0 ? packed : Buffer.from(new Uint8Array(packed).buffer);
  const numbers = new Float64Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 8);
  const integers = new BigInt64Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 8);
  const entries: ScannedEntry[] = [];
  const slots = statBytes / 8;
  for (let at = 0; at < numbers.length; ) {
    const length = numbers[at + slots] ?? 0;
    const nameAt = (at + slots + 1) * 8;
    const name = aligned.toString('latin1', nameAt, nameAt + length) as BytePath;
    entries.push({ ...statOf(numbers, integers, at), name });
    at += slots + 1 + Math.ceil(length / 8);
  }
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Overlayfs' whiteout: a character device 0/0 (kernel documentation, overlayfs.rst, "whiteouts and opaque directories"). */
export function isWhiteoutDevice(stat: FileStat): boolean {
  return stat.type === fileType.char && stat.major === 0 && stat.minor === 0;
}

function statOf(numbers: Float64Array, integers: BigInt64Array, at: number): FileStat {
  const mode = numbers[at + statSlot.mode] ?? 0;
  return {
    type: mode & fileType.mask,
    mode: mode & 0o7777,
    uid: numbers[at + statSlot.uid] ?? 0,
    gid: numbers[at + statSlot.gid] ?? 0,
    size: numbers[at + statSlot.size] ?? 0,
    links: numbers[at + statSlot.links] ?? 0,
    major: numbers[at + statSlot.deviceMajor] ?? 0,
    minor: numbers[at + statSlot.deviceMinor] ?? 0,
    blocks: numbers[at + statSlot.blocks] ?? 0,
    fileSystem: integers[at + statSlot.fileSystem] ?? 0n,
    inode: integers[at + statSlot.inode] ?? 0n,
    mtime: integers[at + statSlot.mtime] ?? 0n,
  };
}
