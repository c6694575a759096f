/**
 * Trees put into a root for the time of a step, where nothing can be mounted: each is made in a folder beside the root
 * and moved to its place; what stood there is moved out of the root meanwhile.
 * Invariants: places are resolved inside the root and held by descriptor, so what a step does to their parents leads
 * nowhere else; what is taken away again leaves no trace: directories that had to be made go when they are empty, times
 * of directories come back unless the step set them.
 */
import { closeSync, constants } from 'node:fs';
import { type BytePath, systemErrorCode, TsbuildError } from '../../core/index.ts';
import { native } from '../native/addon.ts';
import { DirectoryHandles, openBeneath, openRoot } from '../native/directory-handles.ts';
import { fileType, statAt } from '../native/stat.ts';
import { shown } from '../tar/tar-errors.ts';
import { baseName, childPath, parentPath, resolvePlace } from '../tree/resolve-place.ts';

interface Place {
  readonly parent: Place | undefined;
  readonly path: BytePath;
}

/** One change to a directory of the root, and how it is taken back. */
interface Undo {
  readonly directory: number;
  readonly before: bigint;
  readonly after: bigint;
  readonly run: () => void;
}

const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY;
/** RENAME_NOREPLACE of renameat2(2). */
const noReplace = 1;

export class PlacedTrees {
  readonly #root: number;
  /** The folder beside the root that trees come from and go to. */
  readonly #beside: number;
  readonly #undos: Undo[] = [];
  #count = 0;

  constructor(root: string, beside: string) {
    this.#root = openRoot(root);
    this.#beside = openRoot(beside);
  }

  /**
   * Moves the tree `name` of the folder beside the root to a path of the root.
   * @returns the name it has there again after `takeAway`, when it still exists
   * @throws TsbuildError `sandbox-mount-failed`
   */
  place(name: string, target: BytePath): string {
    try {
      const path = this.#resolve(target);
      if (path === '') throw new Error('it is the root');
      const parent = this.#makeDirectory(parentPath(path) as BytePath);
      return this.#moveIn(name, parent, baseName(path));
    } catch (error) {
      throw new TsbuildError({
        code: 'sandbox-mount-failed',
        message: `${shown(`/${target}`)} cannot be made: ${error instanceof Error ? error.message : String(error)}`,
        hint: 'Check what the image has at the path of the mount.',
        cause: error,
      });
    }
  }

  /** Afterwards the root is what the step made of it. */
  takeAway(): void {
    for (let undo = this.#undos.pop(); undo; undo = this.#undos.pop()) {
      const { directory, before, after, run } = undo;
      const now = modified(directory);
      ignoring(['ENOENT', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR'], run);
      native.utimesAt(directory, '', now === after ? before : now);
      closeSync(directory);
    }
  }

  close(): void {
    for (const { directory } of this.#undos.splice(0)) closeSync(directory);
    closeSync(this.#root);
    closeSync(this.#beside);
  }

  #moveIn(name: string, parent: number, place: string): string {
    const before = modified(parent);
    const hidden = `hidden-${this.#count}`;
    const taken = `taken-${this.#count++}`;
    const hides = statAt(parent, place) !== undefined;
    if (hides) native.renameAt(parent, place, this.#beside, hidden, noReplace);
    native.renameAt(this.#beside, name, parent, place, noReplace);
    this.#undos.push({
      directory: parent,
      before,
      after: modified(parent),
      run: () => {
        ignoring(['ENOENT'], () => native.renameAt(parent, place, this.#beside, taken, noReplace));
        if (hides) native.renameAt(this.#beside, hidden, parent, place, noReplace);
      },
    });
    return taken;
  }

  /** Where a path leads inside the root, the last component followed; it need not exist. */
  #resolve(target: BytePath): BytePath {
    const handles = new DirectoryHandles(this.#root, 16);
    try {
      return resolvePlace<Place>({ parent: undefined, path: '' as BytePath }, target, (at, name) => {
        const path = childPath(at.path, name) as BytePath;
        let dir: number;
        try {
          dir = handles.fd(at.path);
        } catch (error) {
          if (systemErrorCode(error) === 'ENOENT') return { parent: at, path };
          throw error;
        }
        if (statAt(dir, name)?.type === fileType.symlink) return native.readlinkAt(dir, name);
        return { parent: at, path };
      }).path;
    } finally {
      handles.close();
    }
  }

  /** Descriptor of a directory of the root, made with those above it when they are missing; the caller's to keep. */
  #makeDirectory(path: BytePath): number {
    const parts = path === '' ? [] : path.split('/');
    let at = openBeneath(this.#root, '', directoryFlags);
    for (const name of parts) {
      const before = modified(at);
      const made = native.mkdirAt(at, name, 0o755);
      const next = native.openBeneath(at, name, directoryFlags, 0);
      if (made) {
        native.chmodAt(next, '', 0o755);
        const parent = at;
        const inode = statAt(next, '')?.inode;
        this.#undos.push({
          directory: parent,
          before,
          after: modified(parent),
          // Another one of that name is the step's own.
          run: () => void (statAt(parent, name)?.inode === inode && native.unlinkAt(parent, name, 1)),
        });
      } else closeSync(at);
      at = next;
    }
    return at;
  }
}

function modified(directory: number): bigint {
  return statAt(directory, '')?.mtime ?? 0n;
}

function ignoring(codes: readonly string[], action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!codes.includes(systemErrorCode(error) ?? '')) throw error;
  }
}
