/**
 * Stat records of the addon as values.
 * Invariant: a record's buffer is filled before it is read; inode numbers keep all 64 bits.
 */
import type { BytePath } from '../../core/index.ts';
import { type StatRecords, scanRecords, statRecord } from './stat-records.ts';

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
  const records = statRecord(dir, name);
  return records && entryOf(records, 0, name as BytePath);
}

/** A directory's entries in byte order of their names, whatever order the file system has. */
export function scanDirectory(fd: number): ScannedEntry[] {
  const records = scanRecords(fd);
  return records.names.map((name, entry) => entryOf(records, entry, name));
}

/** Overlayfs' whiteout: a character device 0/0 (kernel documentation, overlayfs.rst, "whiteouts and opaque directories"). */
export function isWhiteoutDevice(stat: FileStat): boolean {
  return stat.type === fileType.char && stat.major === 0 && stat.minor === 0;
}

/** One literal for all: objects that are spread into others are each read the slow way, which shows with many files. */
function entryOf(records: StatRecords, entry: number, name: BytePath): ScannedEntry {
  const mode = records.number(entry, 'mode');
  return {
    name,
    type: mode & fileType.mask,
    mode: mode & 0o7777,
    uid: records.number(entry, 'uid'),
    gid: records.number(entry, 'gid'),
    size: records.number(entry, 'size'),
    links: records.number(entry, 'links'),
    major: records.number(entry, 'deviceMajor'),
    minor: records.number(entry, 'deviceMinor'),
    blocks: records.number(entry, 'blocks'),
    fileSystem: records.integer(entry, 'fileSystem'),
    inode: records.integer(entry, 'inode'),
    mtime: records.integer(entry, 'mtime'),
  };
}
