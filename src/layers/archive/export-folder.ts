/**
 * A tree in a folder of the user's.
 * Invariants: every operation goes through the descriptor of the directory it happens in, opened beneath the folder
 * without following a symlink, so neither a link in the tree nor one that lay in the folder leads out of it; what stands
 * where an entry goes is replaced, a directory under a directory stays.
 */
import { closeSync, constants, ftruncateSync, writeSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type BytePath, makeDirectories, systemErrorCode, throwIfAborted } from '../../core/index.ts';
import { Notes } from '../apply/notes.ts';
import { native } from '../native/addon.ts';
import { DirectoryHandles, openRoot } from '../native/directory-handles.ts';
import { fileType, scanDirectory, statAt } from '../native/stat.ts';
import type { LayerEntry } from '../types.ts';
import { EntryBytes } from './entry-bytes.ts';
import { noFolder, outputFailure } from './output-place.ts';

export interface FolderOptions {
  readonly path: string;
  readonly deleteOthers: boolean;
  readonly keepOwners: boolean;
  readonly signal: AbortSignal;
}

/** Entries between two looks at the signal, and at the rest of the program. */
const turn = 64;

/** @param entries parents first, what a directory has behind it; gone through more than once  @returns sentences about what was left out */
export async function writeTreeFolder(
  entries: Iterable<LayerEntry>,
  options: FolderOptions,
): Promise<readonly string[]> {
  try {
    makeFolder(options.path);
    const folder = new ExportFolder(options);
    try {
      const directories: LayerEntry[] = [];
      let count = 0;
      for (const entry of entries) {
        if (count++ % turn === 0) await nextTurn();
        throwIfAborted(options.signal);
        folder.write(entry);
        if (entry.kind === 'directory') directories.push(entry);
      }
      if (options.deleteOthers) folder.deleteOthers(entries, directories);
      folder.finishDirectories(directories);
    } finally {
      folder.close();
    }
    return folder.notes.sentences();
  } catch (error) {
    throw outputFailure(options.path, error);
  }
}

function makeFolder(path: string): void {
  try {
    makeDirectories(path);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'EEXIST' && code !== 'ENOTDIR') throw error;
    throw noFolder(path);
  }
}

class ExportFolder {
  readonly notes = new Notes();
  readonly #options: FolderOptions;
  readonly #root: number;
  readonly #handles: DirectoryHandles;
  readonly #source = new EntryBytes();
  #mayChown = process.geteuid?.() === 0;

  constructor(options: FolderOptions) {
    this.#options = options;
    this.#root = openRoot(options.path);
    this.#handles = new DirectoryHandles(this.#root);
  }

  close(): void {
    this.#source.close();
    this.#handles.close();
    closeSync(this.#root);
  }

  write(entry: LayerEntry): void {
    if (entry.path === '') return;
    const [parent, name] = splitPath(entry.path);
    const dir = this.#handles.fd(parent);
    const old = statAt(dir, name);
    if (old?.type === fileType.directory && entry.kind === 'directory') return;
    if (old) this.#remove(parent, name, old.type === fileType.directory);
    this.#make(this.#handles.fd(parent), name, entry);
  }

  /** After everything below them is there: writing into a directory changes its time, and may need its permissions. */
  finishDirectories(directories: readonly LayerEntry[]): void {
    for (const entry of directories.toReversed()) this.#describe(this.#handles.fd(entry.path), '', entry);
  }

  deleteOthers(entries: Iterable<LayerEntry>, directories: readonly LayerEntry[]): void {
    const kept = new Set<string>();
    for (const { path } of entries) kept.add(path);
    for (const { path: directory } of directories) {
      for (const child of scanDirectory(this.#handles.fd(directory))) {
        const path = directory === '' ? child.name : `${directory}/${child.name}`;
        if (!kept.has(path)) this.#remove(directory, child.name, child.type === fileType.directory);
      }
    }
  }

  #make(dir: number, name: string, entry: LayerEntry): void {
    switch (entry.kind) {
      case 'directory':
        native.mkdirAt(dir, name, 0o700);
        return;
      case 'file':
        this.#writeFile(dir, name, entry);
        break;
      case 'symlink':
        native.symlinkAt(entry.linkTarget ?? '', dir, name);
        this.#chown(dir, name, entry);
        native.utimesAt(dir, name, entry.mtime);
        return;
      case 'hardlink': {
        const [from, fromName] = splitPath(entry.linkTarget ?? ('' as BytePath));
        const fromDir = this.#handles.fd(from);
        native.linkAt(fromDir, fromName, this.#handles.fd(splitPath(entry.path)[0]), name);
        return;
      }
      default:
        if (!this.#makeNode(dir, name, entry)) return;
    }
    this.#describe(dir, name, entry);
  }

  #writeFile(dir: number, name: string, entry: LayerEntry): void {
    const { O_WRONLY, O_CREAT, O_EXCL } = constants;
    const fd = native.openBeneath(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    try {
      for (const { bytes, position } of this.#source.pieces(entry)) {
        for (let done = 0; done < bytes.byteLength; ) {
          done += writeSync(fd, bytes, done, bytes.byteLength - done, position + done);
        }
      }
      // A sparse file may end with a hole.
      ftruncateSync(fd, entry.size);
    } finally {
      closeSync(fd);
    }
  }

  #makeNode(dir: number, name: string, { kind, device, path }: LayerEntry): boolean {
    const type = kind === 'fifo' ? fileType.fifo : kind === 'char' ? fileType.char : fileType.block;
    try {
      native.mknodAt(dir, name, type | 0o600, device?.major ?? 0, device?.minor ?? 0);
      return true;
    } catch (error) {
      if (systemErrorCode(error) !== 'EPERM') throw error;
      this.notes.add('devices', path);
      return false;
    }
  }

  /** chown first, for it clears setuid and capabilities; the time last, for all else may change it. */
  #describe(dir: number, name: string, entry: LayerEntry): void {
    this.#chown(dir, name, entry);
    native.chmodAt(dir, name, entry.mode);
    for (const [attribute, value] of entry.xattrs ?? []) {
      try {
        native.setXattr(dir, name, attribute, value);
      } catch (error) {
        const code = systemErrorCode(error) ?? '';
        if (!['EPERM', 'EOPNOTSUPP', 'EINVAL', 'EACCES'].includes(code)) throw error;
        this.notes.add('xattrs', entry.path);
      }
    }
    native.utimesAt(dir, name, entry.mtime);
  }

  #chown(dir: number, name: string, { uid, gid, path }: LayerEntry): void {
    if (!this.#options.keepOwners || !this.#mayChown) return;
    try {
      native.chownAt(dir, name, uid, gid);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code !== 'EPERM' && code !== 'EINVAL') throw error;
      this.#mayChown = false;
      this.notes.add('owners', path);
    }
  }

  #remove(parent: BytePath, name: string, isDirectory: boolean): void {
    if (isDirectory) {
      const path = (parent === '' ? name : `${parent}/${name}`) as BytePath;
      for (const child of scanDirectory(this.#handles.fd(path))) {
        this.#remove(path, child.name, child.type === fileType.directory);
      }
      this.#handles.forget(path);
    }
    native.unlinkAt(this.#handles.fd(parent), name, isDirectory ? 1 : 0);
  }
}

function splitPath(path: BytePath): readonly [parent: BytePath, name: string] {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? ['' as BytePath, path] : [path.slice(0, slash) as BytePath, path.slice(slash + 1)];
}
