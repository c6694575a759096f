/**
 * The layer a COPY makes while it is being laid out: the entries so far, over the tree they will be stacked on.
 *
 * Invariant: `finish` gives sorted entries, every parent folder among them, and each hardlink after the file it links to.
 */
import { type BytePath, compareBytePaths } from '../../core/index.ts';
import { entryAt, type LayerEntry, type Present, type Tree } from '../../layers/index.ts';
import { ancestorsOf, parentOf, resolveInTree } from '../context/tree-path.ts';
import type { Owner } from './owner.ts';

export class LayerDraft {
  readonly #beneath: Tree | undefined;
  readonly #entries = new Map<BytePath, LayerEntry>();
  /** Files that are links of one another share a group. */
  readonly #groups = new Map<BytePath, symbol>();

  constructor(beneath: Tree | undefined) {
    this.#beneath = beneath;
  }

  /** What stands at a path once the layer is on top; symlinks are not followed anywhere. */
  lookup(path: BytePath): Present | undefined {
    const own = this.#entries.get(path);
    if (own) return own;
    for (const above of ancestorsOf(path)) {
      const entry = this.#entries.get(above);
      if (entry && entry.kind !== 'directory') return undefined;
    }
    return path === '' ? (this.#beneath?.lookup(path) ?? emptyRoot) : this.#beneath?.lookup(path);
  }

  resolve(path: BytePath, followLast = true): BytePath {
    return resolveInTree(path, (at) => this.lookup(at), followLast);
  }

  /** @param group equal for entries that are hardlinks of one file */
  put(entry: LayerEntry, group?: symbol): void {
    this.#entries.set(entry.path, entry);
    if (group) this.#groups.set(entry.path, group);
    else this.#groups.delete(entry.path);
  }

  /** Forgets what this layer has below a path, if it is a folder: something else is about to replace it. */
  clearBelow(path: BytePath): void {
    if (this.#entries.get(path)?.kind !== 'directory') return;
    for (const below of [...this.#entries.keys()]) {
      if (!below.startsWith(`${path}/`)) continue;
      this.#entries.delete(below);
      this.#groups.delete(below);
    }
  }

  /**
   * Gives what stands at `target` a second name, taking it along when it belongs to the tree beneath.
   * @returns false when nothing stands there, or a folder
   */
  link(path: BytePath, target: BytePath): boolean {
    const present = this.lookup(target);
    if (!present || present.kind === 'directory') return false;
    if (present.kind !== 'file') {
      this.put(entryAt(path, present));
      return true;
    }
    const group = this.#groups.get(target) ?? Symbol(target);
    this.put(entryAt(target, present), group);
    this.put(entryAt(path, present), group);
    return true;
  }

  finish(options: { readonly owner: Owner; readonly mtime: bigint }): LayerEntry[] {
    let last: string | undefined;
    for (const path of [...this.#entries.keys()]) {
      const parent = parentOf(path);
      if (parent === last) continue;
      last = parent;
      for (const above of ancestorsOf(path)) {
        if (this.#entries.has(above)) continue;
        const present = this.#beneath?.lookup(above);
        this.#entries.set(
          above,
          present?.kind === 'directory'
            ? entryAt(above, present)
            : newFolder(above, 0o755, options.owner, options.mtime),
        );
      }
    }
    this.#entries.delete('' as BytePath);
    const firsts = new Map<symbol, LayerEntry>();
    return [...this.#entries.values()]
      .sort((a, b) => compareBytePaths(a.path, b.path))
      .map((entry) => {
        const group = this.#groups.get(entry.path);
        if (!group) return entry;
        const first = firsts.get(group);
        if (!first) {
          firsts.set(group, entry);
          return entry;
        }
        const { content: _content, ...rest } = entry;
        return { ...rest, kind: 'hardlink', size: 0, linkTarget: first.path };
      });
  }
}

export function newFolder(path: BytePath, mode: number, owner: Owner, mtime: bigint): LayerEntry {
  return { path, kind: 'directory', mode, uid: owner.uid, gid: owner.gid, size: 0, mtime };
}

const emptyRoot: Present = { kind: 'directory', mode: 0o755, uid: 0, gid: 0, mtime: 0n, size: 0 };
