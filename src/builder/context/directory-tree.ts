/**
 * A folder of this machine as a Tree: what a build context and `--build-context name=dir` are.
 *
 * Directories are read when they are asked for, once each, one native call for all entries of one. Symlinks are text: they
 * are resolved inside the tree, never by the kernel.
 *
 * Extended attributes are left aside: BuildKit sends those of context files, but sets them before it changes the owner,
 * which makes the kernel drop security.capability (chown(2)), and layers hold no others.
 *
 * Invariants: nothing but regular files is ever opened for reading; no symlink leads out, whoever swaps one in meanwhile;
 * every entry is owned by 0:0, as contexts arrive in BuildKit.
 */
import { type BytePath, bytePathFromText, systemErrorCode } from '../../core/index.ts';
import {
  type EntryKind,
  type FileStamp,
  fileType,
  type Listings,
  openFileBeneath,
  type ScannedDirectory,
  type StatRecords,
  scanBeneath,
  statBeneath,
  type Tree,
  type TreeEntry,
} from '../../layers/index.ts';
import type { HashMemo } from './hash-memo.ts';
import type { IgnoreRules } from './ignore.ts';
import type { PatternState } from './pattern-set.ts';
import { contextUnreadable, readWithin } from './regular-file.ts';
import { joinPath, parentOf, resolveInTree, rootPath } from './tree-path.ts';

/** An entry of a folder of this machine. */
export interface DirectoryEntry extends TreeEntry {
  /** Of files whose content is not known. */
  readonly stamp?: FileStamp;
}

export interface DirectoryTreeOptions {
  readonly ignore?: IgnoreRules;
  /** Names left out at the root, e.g. `.git` of a cloned context. */
  readonly without?: readonly string[];
  /** Digests of contents that are known without reading. */
  readonly memo?: Pick<HashMemo, 'recall'>;
  /** Looks at directories before they are asked for. */
  readonly scan?: { directory(path: BytePath): ScannedDirectory | undefined };
}

export interface DirectoryTree extends Tree {
  readonly root: string;
  /** Of the directories that were read. */
  readonly listings: Listings;
  /** The texts of the ignore rules. */
  readonly ignored: readonly string[];
  lookup(path: BytePath): DirectoryEntry | undefined;
  list(path: BytePath): readonly DirectoryEntry[];
  /** The ignore file whose rules hide this path, which does exist. */
  hiddenBy(path: BytePath): string | undefined;
}

/** @param root absolute path of a folder, without symlinks in it */
export function openDirectoryTree(root: string, options: DirectoryTreeOptions = {}): DirectoryTree {
  return new FolderTree(root, options);
}

type Entries = readonly DirectoryEntry[];

class FolderTree implements DirectoryTree {
  readonly root: string;
  readonly #ignore: IgnoreRules | undefined;
  readonly #without: ReadonlySet<string>;
  readonly #memo: Pick<HashMemo, 'recall'> | undefined;
  readonly #scan: DirectoryTreeOptions['scan'];
  readonly #listings = new Map<BytePath, Buffer>();
  readonly #folders = new Map<BytePath, Entries>();
  readonly #states = new Map<BytePath, PatternState>();
  readonly #linked = new Map<string, number>();
  #rootEntry: DirectoryEntry | undefined;

  constructor(root: string, options: DirectoryTreeOptions) {
    this.root = root;
    this.#ignore = options.ignore?.patterns.isEmpty ? undefined : options.ignore;
    this.#without = new Set(options.without);
    this.#memo = options.memo;
    this.#scan = options.scan;
    if (this.#ignore) this.#states.set(rootPath, this.#ignore.patterns.root);
  }

  get listings(): Listings {
    return this.#listings;
  }

  get ignored(): readonly string[] {
    return this.#ignore?.texts ?? [];
  }

  lookup(path: BytePath): DirectoryEntry | undefined {
    return path === '' ? this.#self() : entryNamed(this.#folder(parentOf(path)), path);
  }

  list(path: BytePath): Entries {
    return this.#folder(path);
  }

  resolve(path: BytePath, options?: { readonly followLast?: boolean }): BytePath {
    return resolveInTree(path, (at) => this.lookup(at), options?.followLast ?? true);
  }

  async readFile(path: BytePath, limit: number): Promise<Buffer | undefined> {
    if (this.#lacks(path)) return undefined;
    const entry = this.lookup(this.resolve(path));
    if (entry?.kind !== 'file') return undefined;
    return readWithin(entry.path, limit, () => openFileBeneath(this.root, entry.path));
  }

  hiddenBy(path: BytePath): string | undefined {
    if (!this.#ignore || path === '' || this.lookup(path)) return undefined;
    try {
      return statBeneath(this.root, this.resolve(path, { followLast: false })) && this.#ignore.file;
    } catch {
      // Whatever keeps it from being seen (ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EACCES): it is not the ignore file.
      return undefined;
    }
  }

  /** Whether a file surely is not there, told without reading a directory: of ignore files, there are mostly none. */
  #lacks(path: BytePath): boolean {
    try {
      return statBeneath(this.root, path) === undefined;
    } catch {
      // ELOOP: a symlink leads there. ENOENT, EACCES, ...: reading the directories will tell.
      return false;
    }
  }

  #self(): DirectoryEntry {
    if (this.#rootEntry) return this.#rootEntry;
    const records = this.#reading(rootPath, () => statBeneath(this.root, rootPath));
    if (!records) throw contextUnreadable(this.root, 'ENOENT');
    this.#rootEntry = this.#entry(rootPath, records, 0, undefined);
    return this.#rootEntry;
  }

  /** A folder's children; none when the path is no folder of the tree. Parents are read first. */
  #folder(path: BytePath): Entries {
    const known = this.#folders.get(path);
    if (known) return known;
    // Reading parents first, without recursion: a hostile context may be some thousand folders deep.
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) {
      const above = path.slice(0, at) as BytePath;
      if (!this.#folders.has(above)) this.#folders.set(above, this.#isFolder(above) ? this.#read(above) : []);
    }
    const folder = this.#isFolder(path) ? this.#read(path) : [];
    this.#folders.set(path, folder);
    return folder;
  }

  #isFolder(path: BytePath): boolean {
    return path === '' || this.lookup(path)?.kind === 'directory';
  }

  #read(path: BytePath): Entries {
    const { listing, records, links } = this.#reading(
      path,
      () => this.#scan?.directory(path) ?? scanBeneath(this.root, path),
    );
    this.#listings.set(path, listing);
    const state = this.#states.get(path);
    const entries: DirectoryEntry[] = [];
    for (let number = 0; number < records.names.length; number++) {
      const name = records.names[number] ?? rootPath;
      if (path === '' && this.#without.has(name)) continue;
      const type = records.number(number, 'mode') & fileType.mask;
      if (type === fileType.socket) continue;
      const child = joinPath(path, name);
      if (state && !this.#keeps(state, child, name, type === fileType.directory)) continue;
      entries.push(this.#entry(child, records, number, links.get(name)));
    }
    return entries;
  }

  /** Decides on a child by the ignore rules; an ignored folder stays when something below it is taken back. */
  #keeps(state: PatternState, child: BytePath, name: BytePath, isFolder: boolean): boolean {
    const patterns = this.#ignore?.patterns;
    if (!patterns) return true;
    const answer = patterns.match(state, name);
    if (!isFolder) return !answer.matched;
    const below = patterns.enter(state, name, answer);
    this.#states.set(child, below);
    if (!answer.matched) return true;
    if (!patterns.mayChangeBelow(below, 'exception')) return false;
    const inside = this.#read(child);
    if (inside.length === 0) return false;
    this.#folders.set(child, inside);
    return true;
  }

  #reading<T>(path: BytePath, task: () => T): T {
    try {
      return task();
    } catch (cause) {
      const shown = joinPath(bytePathFromText(this.root), path);
      throw contextUnreadable(shown, systemErrorCode(cause) ?? 'an unknown error', cause);
    }
  }

  #entry(path: BytePath, records: StatRecords, number: number, linkTarget: BytePath | undefined): DirectoryEntry {
    const status = records.number(number, 'mode');
    const kind = kinds[status & fileType.mask] ?? 'file';
    const inode = this.#inodeOf(records, number, kind);
    const mtime = records.integer(number, 'mtime');
    const mode = status & 0o7777;
    if (kind === 'file') {
      const size = records.number(number, 'size');
      const content = { kind, root: this.root, path };
      const stamp = { records, entry: number };
      const contentDigest = this.#memo?.recall(stamp);
      // Whole literals: a context has many thousand files.
      return contentDigest === undefined
        ? { path, kind, mode, uid: 0, gid: 0, size, mtime, inode, content, stamp }
        : { path, kind, mode, uid: 0, gid: 0, size, mtime, inode, content, contentDigest };
    }
    const entry: DirectoryEntry = { path, kind, mode, uid: 0, gid: 0, size: 0, mtime, inode };
    if (linkTarget !== undefined) return { ...entry, mode: 0o777, linkTarget };
    if (kind !== 'char' && kind !== 'block') return entry;
    const device = { major: records.number(number, 'deviceMajor'), minor: records.number(number, 'deviceMinor') };
    return { ...entry, device };
  }

  /** Inode numbers repeat across file systems, so links are numbered here. */
  #inodeOf(records: StatRecords, number: number, kind: EntryKind): number {
    if (kind === 'directory' || records.number(number, 'links') < 2) return 0;
    const key = `${records.integer(number, 'fileSystem')}:${records.integer(number, 'inode')}`;
    const known = this.#linked.get(key);
    if (known !== undefined) return known;
    this.#linked.set(key, this.#linked.size + 1);
    return this.#linked.size;
  }
}

const kinds: Readonly<Record<number, EntryKind>> = {
  [fileType.regular]: 'file',
  [fileType.directory]: 'directory',
  [fileType.symlink]: 'symlink',
  [fileType.fifo]: 'fifo',
  [fileType.char]: 'char',
  [fileType.block]: 'block',
};

/** Entries are sorted by path. */
function entryNamed(entries: Entries, path: BytePath): DirectoryEntry | undefined {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((entries[middle]?.path ?? '') < path) low = middle + 1;
    else high = middle;
  }
  return entries[low]?.path === path ? entries[low] : undefined;
}
