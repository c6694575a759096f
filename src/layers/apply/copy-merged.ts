/**
 * Copies what unpacked layers show together, or one plain directory, below a path into a new directory: what a step finds
 * where nothing can be mounted.
 * Invariants: the source path is resolved inside the layers, never outside; nothing is shared with the source, so what a
 * step does to the copy does not reach it.
 */
import { type BytePath, TsbuildError } from '../../core/index.ts';
import { fileType } from '../native/stat.ts';
import { shown } from '../tar/tar-errors.ts';
import { baseName, childPath, parentPath, resolvePlace } from '../tree/resolve-place.ts';
import type { JobControl } from '../worker/job-control.ts';
import { layerFailure, naming } from '../worker/system-error.ts';
import { copyEntry } from './copy-entry.ts';
import { type LowerEntry, LowerStack, type OverlayXattrPrefix } from './lower-stack.ts';
import { Notes } from './notes.ts';
import { Target } from './target.ts';

export interface CopyMergedInput {
  /** Highest first. */
  readonly lowers: readonly string[];
  readonly xattrPrefix: OverlayXattrPrefix;
  readonly source: BytePath;
  /** An empty directory; the copy becomes `name` in it. */
  readonly into: string;
  readonly name: string;
}

export function copyMerged(input: CopyMergedInput, control: JobControl): { readonly notes: readonly string[] } {
  const notes = new Notes();
  const lowers = new LowerStack(input.lowers, input.xattrPrefix);
  const target = new Target(input.into, 'user.', notes);
  try {
    new MergedCopy(lowers, target, control).run(input.source, input.name);
    return { notes: notes.sentences() };
  } catch (error) {
    throw layerFailure(error, `copying ${shown(input.source)} for a step`);
  } finally {
    target.close();
    lowers.close();
  }
}

interface Place {
  readonly parent: Place | undefined;
  readonly path: BytePath;
}

class MergedCopy {
  readonly #lowers: LowerStack;
  readonly #target: Target;
  readonly #control: JobControl;
  /** Where the first name of a file with several was copied to. */
  readonly #firsts = new Map<string, { readonly directory: BytePath; readonly name: string }>();

  constructor(lowers: LowerStack, target: Target, control: JobControl) {
    this.#lowers = lowers;
    this.#target = target;
    this.#control = control;
  }

  run(source: BytePath, name: string): void {
    const { path } = resolvePlace<Place>({ parent: undefined, path: '' as BytePath }, source, (at, step) => {
      const entry = this.#lowers.lookup(at.path, step);
      if (entry?.stat.type === fileType.symlink) return this.#lowers.readlink(entry);
      return { parent: at, path: childPath(at.path, step) as BytePath };
    });
    const entry = path === '' ? this.#lowers.root() : this.#lowers.lookup(parentPath(path), baseName(path));
    if (!entry) {
      throw new TsbuildError({
        code: 'sandbox-mount-failed',
        message: `the source of a mount, ${shown(source)}, is not there`,
        hint: 'Check the path.',
      });
    }
    this.#copy(entry, path, '' as BytePath, name);
  }

  #copy(entry: LowerEntry, from: BytePath, directory: BytePath, name: string): void {
    this.#control.throwIfAborted();
    const { stat } = entry;
    const to = childPath(directory, name) as BytePath;
    const identity = `${entry.layer} ${stat.fileSystem} ${stat.inode}`;
    if (stat.links > 1 && stat.type !== fileType.directory && stat.type !== fileType.socket) {
      const first = this.#firsts.get(identity);
      if (first) return this.#target.makeHardlink(first.directory, first.name, directory, name);
      this.#firsts.set(identity, { directory, name });
    }
    if (stat.type === fileType.directory) {
      this.#target.makeDirectory(directory, name);
      for (const child of this.#lowers.names(from).sort()) {
        const below = this.#lowers.lookup(from, child);
        if (below) naming('copying', from, () => this.#copy(below, childPath(from, child) as BytePath, to, child));
      }
      return this.#target.finishDirectory(to, { ...stat, xattrs: this.#lowers.xattrs(entry) }, false);
    }
    // What may not be made here has no other names either: each is noted.
    if (!copyEntry(this.#lowers, entry, this.#target, directory, name)) this.#firsts.delete(identity);
  }
}
