/**
 * Descriptors of directories below a root, kept open while they are used often.
 * Invariant: a path is opened component by component without following symlinks, so a descriptor handed out always
 * lies below the root; at most `capacity` are open; paths and depths have no limit.
 */
import { closeSync, constants, openSync } from 'node:fs';
import type { BytePath } from '../../core/index.ts';
import { native } from './addon.ts';

const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** One openat2 takes a path shorter than PATH_MAX. */
const longestStep = 4000;

export class DirectoryHandles {
  readonly #open = new Map<BytePath, number>();
  readonly #capacity: number;
  readonly root: number;

  /** @param root descriptor of the root directory; it stays the caller's and is not closed */
  constructor(root: number, capacity = 64) {
    this.root = root;
    this.#capacity = Math.max(2, capacity);
  }

  /** Valid during the next call too, not longer. Throws Node-like errors: ENOENT, ENOTDIR, ELOOP (a symlink is in the way). */
  fd(path: BytePath): number {
    if (path === '') return this.root;
    const known = this.#open.get(path);
    if (known !== undefined) {
      // Put at the end: the least recently used is the first.
      this.#open.delete(path);
      this.#open.set(path, known);
      return known;
    }
    const slash = path.lastIndexOf('/');
    const parent = slash < 0 ? this.root : this.#open.get(path.slice(0, slash) as BytePath);
    const opened =
      parent === undefined
        ? openDirectoryBeneath(this.root, path)
        : native.openBeneath(parent, path.slice(slash + 1), directoryFlags, 0);
    if (this.#open.size >= this.#capacity) this.#closeOldest();
    this.#open.set(path, opened);
    return opened;
  }

  /** Forgets a directory that was removed or renamed, and all below it. */
  forget(path: BytePath): void {
    for (const [known, fd] of this.#open) {
      if (known === path || known.startsWith(`${path}/`)) {
        closeSync(fd);
        this.#open.delete(known);
      }
    }
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }

  #closeOldest(): void {
    for (const [path, fd] of this.#open) {
      closeSync(fd);
      this.#open.delete(path);
      return;
    }
  }
}

/** Opens a file or directory below `root` by a path of any length; no component may be a symlink. */
export function openBeneath(root: number, path: string, flags: number): number {
  if (path.length < longestStep) return native.openBeneath(root, path, flags, 0);
  const cut = path.lastIndexOf('/', longestStep);
  const step = native.openBeneath(root, path.slice(0, cut), directoryFlags, 0);
  try {
    return openBeneath(step, path.slice(cut + 1), flags);
  } finally {
    closeSync(step);
  }
}

function openDirectoryBeneath(root: number, path: BytePath): number {
  return openBeneath(root, path, directoryFlags);
}

/** Opens the root of a tree by a path of this machine; the path may hold symlinks, it is tsbuild's or the user's own. */
export function openRoot(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
}
