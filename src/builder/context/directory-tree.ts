/**
 * A folder of this machine as a Tree: what a build context and `--build-context name=dir` are.
 *
 * Folders are read when they are asked for, once each, with synchronous calls (a promise per file costs several times as
 * much). Symlinks are text: they are resolved inside the tree, never by the kernel.
 * Invariant: nothing but regular files is ever opened; every entry is owned by 0:0, as contexts arrive in BuildKit.
 */

import type { BigIntStats, Dirent } from 'node:fs';
import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import {
  type BytePath,
  bytePathForFs,
  bytePathFromText,
  bytePathToText,
  compareBytePaths,
  systemErrorCode,
  TsbuildError,
} from '../../core/index.ts';
import type { EntryKind, Tree, TreeEntry } from '../../layers/index.ts';
import { openFileBeneath } from './archive/open-beneath.ts';
import type { IgnoreRules } from './ignore.ts';
import type { PatternState } from './pattern-set.ts';
import { baseName, joinPath, parentOf, resolveInTree, rootPath } from './tree-path.ts';

/** What tells, without reading, whether a file still has the content it had. */
export interface FileIdentity {
  readonly device: bigint;
  readonly inode: bigint;
  readonly size: bigint;
  readonly mtime: bigint;
  readonly ctime: bigint;
}

/** An entry of a folder of this machine. */
export interface DirectoryEntry extends TreeEntry {
  readonly identity: FileIdentity;
}

export interface DirectoryTreeOptions {
  readonly ignore?: IgnoreRules;
  /** Names left out at the root, e.g. `.git` of a cloned context. */
  readonly without?: readonly string[];
}

/** A folder as it was asked for. `isIgnored` tells why an existing path is not in the tree. */
export interface DirectoryTree extends Tree {
  readonly root: string;
  lookup(path: BytePath): DirectoryEntry | undefined;
  list(path: BytePath): readonly DirectoryEntry[];
  /** The ignore file whose rules hide this path, which does exist. */
  hiddenBy(path: BytePath): string | undefined;
}

/** @param root absolute path of a folder, without symlinks in it */
export function openDirectoryTree(root: string, options: DirectoryTreeOptions = {}): DirectoryTree {
  return new FolderTree(root, options);
}

interface Folder {
  readonly entries: readonly DirectoryEntry[];
  readonly byName: ReadonlyMap<string, DirectoryEntry>;
}

const noFolder: Folder = { entries: [], byName: new Map() };

class FolderTree implements DirectoryTree {
  readonly root: string;
  /** The root's bytes, one per code unit, with a slash at the end. */
  readonly #prefix: string;
  readonly #ignore: IgnoreRules | undefined;
  readonly #without: ReadonlySet<string>;
  readonly #folders = new Map<BytePath, Folder>();
  readonly #states = new Map<BytePath, PatternState>();
  readonly #linked = new Map<string, number>();
  #inodes = 0;
  #rootEntry: DirectoryEntry | undefined;

  constructor(root: string, options: DirectoryTreeOptions) {
    this.root = root;
    this.#prefix = bytePathFromText(root.endsWith('/') ? root : `${root}/`);
    this.#ignore = options.ignore?.patterns.isEmpty ? undefined : options.ignore;
    this.#without = new Set(options.without);
    if (this.#ignore) this.#states.set(rootPath, this.#ignore.patterns.root);
  }

  lookup(path: BytePath): DirectoryEntry | undefined {
    if (path === '') {
      this.#rootEntry ??= this.#entry(rootPath, this.#stat(rootPath));
      return this.#rootEntry;
    }
    return this.#folder(parentOf(path)).byName.get(baseName(path));
  }

  list(path: BytePath): readonly DirectoryEntry[] {
    return this.#folder(path).entries;
  }

  resolve(path: BytePath, options?: { readonly followLast?: boolean }): BytePath {
    return resolveInTree(path, (at) => this.lookup(at), options?.followLast ?? true);
  }

  async readFile(path: BytePath, limit: number): Promise<Buffer | undefined> {
    const entry = this.lookup(this.resolve(path));
    if (entry?.kind !== 'file') return undefined;
    return readOpen(entry.path, limit, () => openFileBeneath(this.root, entry.path));
  }

  hiddenBy(path: BytePath): string | undefined {
    if (!this.#ignore || path === '' || this.lookup(path)) return undefined;
    try {
      lstatSync(bytePathForFs(this.#prefix + path));
      return this.#ignore.file;
    } catch {
      // Whatever keeps it from being seen (ENOENT, ENOTDIR, ENAMETOOLONG, EACCES): it is not the ignore file.
      return undefined;
    }
  }

  /** A folder's children; none when the path is no folder of the tree. Parents are read first. */
  #folder(path: BytePath): Folder {
    const known = this.#folders.get(path);
    if (known) return known;
    // Reading parents first, without recursion: a hostile context may be some thousand folders deep.
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) {
      const above = path.slice(0, at) as BytePath;
      if (!this.#folders.has(above)) this.#folders.set(above, this.#isFolder(above) ? this.#read(above) : noFolder);
    }
    const folder = this.#isFolder(path) ? this.#read(path) : noFolder;
    this.#folders.set(path, folder);
    return folder;
  }

  #isFolder(path: BytePath): boolean {
    return path === '' || this.lookup(path)?.kind === 'directory';
  }

  #read(path: BytePath): Folder {
    const state = this.#states.get(path);
    const byName = new Map<string, DirectoryEntry>();
    for (const item of this.#children(path)) {
      if (path === '' && this.#without.has(item.name)) continue;
      if (item.isSocket()) continue;
      const child = joinPath(path, item.name);
      if (state && !this.#keeps(state, child, item)) continue;
      const stat = this.#tryStat(child);
      if (stat && !stat.isSocket()) byName.set(item.name, this.#entry(child, stat));
    }
    const entries = [...byName.values()].sort((a, b) => compareBytePaths(a.path, b.path));
    return { entries, byName };
  }

  /** Decides on a child by the ignore rules; an ignored folder stays when something below it is taken back. */
  #keeps(state: PatternState, child: BytePath, item: Dirent): boolean {
    const patterns = this.#ignore?.patterns;
    if (!patterns) return true;
    const answer = patterns.match(state, item.name);
    const folder = item.isDirectory() || (isUnknown(item) && this.#tryStat(child)?.isDirectory() === true);
    if (!folder) return !answer.matched;
    const below = patterns.enter(state, item.name, answer);
    this.#states.set(child, below);
    if (!answer.matched) return true;
    if (!patterns.mayChangeBelow(below, 'exception')) return false;
    const inside = this.#read(child);
    if (inside.entries.length === 0) return false;
    this.#folders.set(child, inside);
    return true;
  }

  #children(path: BytePath): Dirent[] {
    try {
      return readdirSync(bytePathForFs(this.#prefix + path), { withFileTypes: true, encoding: 'latin1' });
    } catch (cause) {
      throw unreadable(this.#prefix + path, cause);
    }
  }

  #stat(path: BytePath): BigIntStats {
    try {
      return lstatSync(bytePathForFs(this.#prefix + path), { bigint: true });
    } catch (cause) {
      throw unreadable(this.#prefix + path, cause);
    }
  }

  /** Undefined for what vanished since its folder was read. */
  #tryStat(path: BytePath): BigIntStats | undefined {
    try {
      return lstatSync(bytePathForFs(this.#prefix + path), { bigint: true, throwIfNoEntry: false });
    } catch (cause) {
      throw unreadable(this.#prefix + path, cause);
    }
  }

  #entry(path: BytePath, stat: BigIntStats): DirectoryEntry {
    const kind = kindOf(stat);
    const size = kind === 'file' ? Number(stat.size) : 0;
    return {
      path,
      kind,
      mode: kind === 'symlink' ? 0o777 : Number(stat.mode & 0o7777n),
      uid: 0,
      gid: 0,
      size,
      mtime: stat.mtimeNs,
      inode: this.#inodeOf(stat),
      identity: { device: stat.dev, inode: stat.ino, size: stat.size, mtime: stat.mtimeNs, ctime: stat.ctimeNs },
      ...(kind === 'symlink' ? { linkTarget: this.#readlink(path) } : {}),
      ...(kind === 'char' || kind === 'block' ? { device: deviceOf(stat.rdev) } : {}),
      ...(kind === 'file' ? { content: { kind: 'file', root: this.root, path } } : {}),
    };
  }

  #readlink(path: BytePath): BytePath {
    try {
      return readlinkSync(bytePathForFs(this.#prefix + path), { encoding: 'latin1' }) as BytePath;
    } catch (cause) {
      throw unreadable(this.#prefix + path, cause);
    }
  }

  /** Inode numbers repeat across file systems, so links are numbered here. */
  #inodeOf(stat: BigIntStats): number {
    if (stat.nlink < 2n || stat.isDirectory()) {
      this.#inodes += 1;
      return this.#inodes;
    }
    const key = `${stat.dev}:${stat.ino}`;
    const known = this.#linked.get(key);
    if (known !== undefined) return known;
    this.#inodes += 1;
    this.#linked.set(key, this.#inodes);
    return this.#inodes;
  }
}

/**
 * The bytes of a file of this machine, symlinks followed; undefined when there is none or it is no regular file. A FIFO
 * in its place does not block.
 * @param limit bytes @throws TsbuildError `context-unreadable`, `file-too-large`
 */
export function readRegularFile(path: string, limit: number): Buffer | undefined {
  return readOpen(path, limit, () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
}

function readOpen(path: string, limit: number, open: () => number): Buffer | undefined {
  let file: number;
  try {
    file = open();
  } catch (cause) {
    const code = systemErrorCode(cause);
    // ENXIO: a socket, or a FIFO nobody writes to. ELOOP: a link was put where a file was.
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENXIO' || code === 'ELOOP') return undefined;
    throw unreadable(path, cause);
  }
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) return undefined;
    if (stat.size > limit) {
      throw new TsbuildError({
        code: 'file-too-large',
        message: `${bytePathToText(path)} has ${stat.size} bytes; at most ${limit} are read`,
        hint: 'Make the file smaller.',
      });
    }
    const bytes = Buffer.alloc(stat.size);
    let at = 0;
    while (at < bytes.length) {
      const count = readSync(file, bytes, at, bytes.length - at, at);
      if (count === 0) break;
      at += count;
    }
    return bytes.subarray(0, at);
  } finally {
    closeSync(file);
  }
}

function unreadable(path: string, cause: unknown): TsbuildError {
  const reason = systemErrorCode(cause) ?? 'an unknown error';
  return new TsbuildError({
    code: 'context-unreadable',
    message: `${bytePathToText(path)} cannot be read: ${reason}`,
    hint: 'Make it readable, or name it in .dockerignore.',
    cause,
  });
}

function isUnknown(item: Dirent): boolean {
  return !(
    item.isFile() ||
    item.isDirectory() ||
    item.isSymbolicLink() ||
    item.isFIFO() ||
    item.isCharacterDevice() ||
    item.isBlockDevice()
  );
}

function kindOf(stat: BigIntStats): EntryKind {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'symlink';
  if (stat.isFIFO()) return 'fifo';
  return stat.isCharacterDevice() ? 'char' : 'block';
}

/** Linux's encoding of device numbers (makedev(3)). */
function deviceOf(rdev: bigint): { readonly major: number; readonly minor: number } {
  return {
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)),
  };
}
