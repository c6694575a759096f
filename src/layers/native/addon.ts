/**
 * The addon (this folder's C files, built to `dist/native/layers.node`) with its types: the system calls Node lacks, and
 * deflate.
 * Invariant: every function takes directory descriptors and names relative to them; none follows a symlink, so what a
 * hostile tree holds cannot lead a call out of it.
 *
 * Names are latin1 strings, one code unit per byte (see BytePath). Failures are Errors with `code` ('ENOENT', ...),
 * `errno` and `syscall`; what is expected to happen is a return value instead.
 */
import { loadAddon } from './load-addon.ts';

/** Slots of a stat record: 12 slots of 8 bytes. 0 to 7 are doubles, the rest are signed 64-bit integers. */
export const statSlot = {
  mode: 0,
  uid: 1,
  gid: 2,
  size: 3,
  links: 4,
  deviceMajor: 5,
  deviceMinor: 6,
  /** Of 512 bytes. */
  blocks: 7,
  fileSystem: 8,
  inode: 9,
  /** Nanoseconds since 1970. */
  mtime: 10,
  ctime: 11,
} as const;

export const statBytes = 96;

/** Returned by readWhole in place of a length. */
export const notRegular = -1;
export const sizeDiffers = -2;
export const hasXattrs = -3;

declare const started: unique symbol;
export interface StartedRescan {
  readonly [started]: true;
}

export interface NativeLayers {
  /**
   * Opens a path of which no component may be a symlink or `..`; '' is `root` itself. At most 4095 bytes.
   * ELOOP: a component is a symlink; EXDEV: the path leads out.
   */
  openBeneath(root: number, path: string, flags: number, mode: number): number;
  /** These five return false when the name exists already. */
  mkdirAt(dir: number, name: string, mode: number): boolean;
  /** `mode` includes the type (S_IFIFO, S_IFCHR, S_IFBLK). */
  mknodAt(dir: number, name: string, mode: number, major: number, minor: number): boolean;
  symlinkAt(target: string, dir: number, name: string): boolean;
  linkAt(fromDir: number, fromName: string, dir: number, name: string): boolean;
  /** A new file with this content and metadata, in one call. uid -1 leaves the owner; mtime in nanoseconds. */
  writeWhole(
    dir: number,
    name: string,
    buffer: Uint8Array,
    offset: number,
    length: number,
    mode: number,
    uid: number,
    gid: number,
    mtime: bigint,
  ): boolean;
  /** False when there is no such name. */
  unlinkAt(dir: number, name: string, directory: 0 | 1): boolean;
  renameAt(fromDir: number, fromName: string, dir: number, name: string, flags: number): void;
  readlinkAt(dir: number, name: string): string;
  /** For these three, name '' is the descriptor itself. */
  chownAt(dir: number, name: string, uid: number, gid: number): void;
  chmodAt(dir: number, name: string, mode: number): void;
  /** Sets atime and mtime; nanoseconds since 1970. */
  utimesAt(dir: number, name: string, nanoseconds: bigint): void;

  /** Fills a stat record; false when there is no such name. Name '' is the descriptor itself. */
  statAt(dir: number, name: string, out: Float64Array): boolean;
  /** Positions in `dirs` of the directories that have the name, in order. */
  holders(dirs: Int32Array, name: string): number[];
  /**
   * All entries of a directory in byte order of their names: for each a stat record, the name's length as a double, the
   * name padded to 8 bytes.
   */
  scanDirectory(fd: number): Buffer;
  /**
   * Begins to look at the directories of a record again (rescan.ts has its form), in threads. Undefined when the record
   * is damaged.
   */
  startRescan(root: number, record: Buffer, threads: number): StartedRescan | undefined;
  /**
   * Waits for it; to be called once. True: all is as the record says. Else for each of its directories true, what
   * `scanDirectory` gives now, or null when it cannot be read.
   */
  finishRescan(rescan: StartedRescan): true | (true | Buffer | null)[];

  /** Names, each ended by NUL; '' when there are none or the file system has none. Name '' is the descriptor itself. */
  listXattrs(fd: number, name: string): string;
  getXattr(fd: number, name: string, attribute: string): Buffer | undefined;
  setXattr(fd: number, name: string, attribute: string, value: Uint8Array): void;
  removeXattr(fd: number, name: string, attribute: string): boolean;

  /**
   * Reads a regular file beneath `root` that has exactly `length` bytes; no FIFO or device is waited for. Returns
   * `length`, `notRegular`, `sizeDiffers`, or with `plain` also `hasXattrs`.
   */
  readWhole(root: number, path: string, buffer: Uint8Array, offset: number, length: number, plain: 0 | 1): number;
  /** Where the next data (or hole) at or after an offset begins; -1 when there is none. */
  seekData(fd: number, offset: number, hole: 0 | 1): number;
  /** flock(2), not waiting; false when it is held. The kernel releases it with the descriptor, also after SIGKILL. */
  tryLock(fd: number, exclusive: 0 | 1): boolean;
  unlock(fd: number): void;
  /** sync_file_range(2): the disk begins to write a range of a file; nothing is waited for. */
  startWriteback(fd: number, offset: number, length: number): void;
  /** syncfs(2): everything written to the file system a descriptor is on. */
  syncFileSystem(fd: number): void;
  /**
   * Tells the file system (chattr +T; ext4) that the directories in this one have nothing to do with each other and need
   * not lie close together. False where it knows no such thing.
   */
  spreadDirectories(fd: number): boolean;

  /**
   * Compresses buffer[window, window + length) to deflate (RFC 1951), on a byte boundary: the stream's last block when
   * `last`, else a sync flush after it. The window before (at most 32 KiB) may be referred to. The output lies behind
   * the input, where there must be room for length + length / 1024 + 64 bytes. Returns its length.
   */
  deflate(buffer: Uint8Array, window: number, length: number, last: 0 | 1, level: number): number;
}

export const native = loadAddon<NativeLayers>();
