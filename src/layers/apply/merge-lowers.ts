/**
 * Makes one directory in overlayfs form of several that lie on each other: over whatever lies beneath them it shows what
 * they show. It costs overlayfs one look instead of one each.
 * Invariants: what hides something beneath stays, whiteouts that hide nothing go (overlayfs would list them in a directory
 * that only one layer has); nothing is shared with the sources; more than `most` is not copied.
 */
import type { BytePath } from '../../core/index.ts';
import { fileType } from '../native/stat.ts';
import { childPath } from '../tree/resolve-place.ts';
import { layerFailure, naming } from '../worker/system-error.ts';
import { copyEntry } from './copy-entry.ts';
import { type LowerEntry, LowerStack, type OverlayXattrPrefix } from './lower-stack.ts';
import { Notes } from './notes.ts';
import { Target } from './target.ts';

export interface MergeLowersInput {
  /** Highest first. */
  readonly lowers: readonly string[];
  /** What they lie on, highest first. */
  readonly beneath: readonly string[];
  readonly xattrPrefix: OverlayXattrPrefix;
  /** An empty directory. */
  readonly target: string;
  /** Entries, and bytes of their content. */
  readonly most: { readonly entries: number; readonly bytes: number };
}

/** @returns false when there is more than `most`: the target then holds a part of it */
export function mergeLowers(input: MergeLowersInput): boolean {
  const lowers = new LowerStack(input.lowers, input.xattrPrefix);
  const beneath = new LowerStack(input.beneath, input.xattrPrefix);
  // What may not be made here was noted when the layers were unpacked.
  const target = new Target(input.target, input.xattrPrefix, new Notes());
  try {
    return new Merge(lowers, beneath, target, input.most).run();
  } catch (error) {
    throw layerFailure(error, 'merging layers');
  } finally {
    target.close();
    beneath.close();
    lowers.close();
  }
}

class Merge {
  readonly #lowers: LowerStack;
  readonly #beneath: LowerStack;
  readonly #target: Target;
  #entries: number;
  #bytes: number;
  /** The first name of a file with several, by its layer and inode. */
  readonly #firsts = new Map<string, { readonly directory: BytePath; readonly name: string }>();

  constructor(lowers: LowerStack, beneath: LowerStack, target: Target, most: MergeLowersInput['most']) {
    this.#lowers = lowers;
    this.#beneath = beneath;
    this.#target = target;
    this.#entries = most.entries;
    this.#bytes = most.bytes;
  }

  run(): boolean {
    const root = this.#lowers.root();
    return root === undefined || this.#fill(root, '' as BytePath, false);
  }

  #fill(directory: LowerEntry, path: BytePath, isOpaque: boolean): boolean {
    for (const [name, isShown] of this.#lowers.decided(path)) {
      this.#entries -= 1;
      if (this.#entries < 0) return false;
      const isCopied = naming('merging', path, () => this.#entry(path, name, isShown, isOpaque));
      if (!isCopied) return false;
    }
    this.#target.finishDirectory(path, { ...directory.stat, xattrs: this.#lowers.xattrs(directory) }, isOpaque);
    return true;
  }

  #entry(directory: BytePath, name: string, isShown: boolean, isHidden: boolean): boolean {
    const entry = isShown ? this.#lowers.lookup(directory, name) : undefined;
    if (entry === undefined) {
      if (!isHidden && this.#beneath.lookup(directory, name)) this.#target.makeWhiteout(directory, name);
      return true;
    }
    const { stat } = entry;
    if (stat.type === fileType.directory) {
      this.#target.makeDirectory(directory, name);
      const isOpaque = !isHidden && this.#lowers.isOpaque(directory, name);
      return this.#fill(entry, childPath(directory, name) as BytePath, isOpaque);
    }
    const identity = `${entry.layer} ${stat.fileSystem} ${stat.inode}`;
    const first = stat.links > 1 ? this.#firsts.get(identity) : undefined;
    if (first) {
      this.#target.makeHardlink(first.directory, first.name, directory, name);
      return true;
    }
    if (stat.type === fileType.regular) this.#bytes -= stat.size;
    if (this.#bytes < 0) return false;
    if (copyEntry(this.#lowers, entry, this.#target, directory, name)) this.#firsts.set(identity, { directory, name });
    return true;
  }
}
