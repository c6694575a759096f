/**
 * What unpacked layers show together, read from their directories as overlayfs reads its lowers (kernel documentation,
 * overlayfs.rst): the highest layer that has a name decides; directories merge down to the first opaque one; whiteouts
 * hide, as character device 0/0 or, in directories marked `x`, as an empty file with the whiteout attribute.
 * Invariant: every directory is opened without following symlinks; nothing outside the layers is read.
 */
import { closeSync, constants } from 'node:fs';
import type { BytePath } from '../../core/index.ts';
import { native } from '../native/addon.ts';
import { DirectoryHandles, openRoot } from '../native/directory-handles.ts';
import type { OpenRoots } from '../native/open-roots.ts';
import { recordsOwners, withRecordedOwner } from '../native/recorded-owner.ts';
import { type FileStat, fileType, isWhiteoutDevice, scanDirectory, statAt } from '../native/stat.ts';
import { isLayerXattr, readXattrs } from '../native/xattrs.ts';
import { baseName, childPath, parentPath } from '../tree/resolve-place.ts';

/** Under which overlayfs keeps its marks: `user.` in a user namespace (mount option userxattr), else `trusted.`. */
export type OverlayXattrPrefix = 'trusted.' | 'user.';

export interface LowerEntry {
  readonly stat: FileStat;
  readonly directory: BytePath;
  readonly name: string;
  /** Index of the layer that decides. */
  readonly layer: number;
}

const handlesPerLayer = 16;
const rememberedDirectories = 4096;

export class LowerStack {
  readonly #roots: Int32Array;
  readonly #ownsRoots: boolean;
  /** Of the layers that were asked for more than their root. */
  readonly #handles: (DirectoryHandles | undefined)[] = [];
  readonly #prefix: OverlayXattrPrefix;
  readonly #directories = new Map<string, readonly number[]>();
  readonly #recordsOwners = recordsOwners();

  /**
   * @param roots highest first, as overlayfs takes them
   * @param kept keeps them open for others after this
   */
  constructor(roots: readonly string[], prefix: OverlayXattrPrefix, kept?: OpenRoots) {
    this.#prefix = prefix;
    this.#ownsRoots = kept === undefined;
    this.#roots = Int32Array.from(kept === undefined ? roots.map(openRoot) : kept.open(roots));
  }

  close(): void {
    for (const handles of this.#handles) handles?.close();
    if (this.#ownsRoots) for (const root of this.#roots) closeSync(root);
  }

  /** The root directory as the stack shows it; undefined without layers. */
  root(): LowerEntry | undefined {
    const root = this.#roots[0];
    const stat = root === undefined ? undefined : statAt(root, '');
    if (root === undefined || !stat) return undefined;
    return { stat: this.#withOwner(root, '', stat), directory: '' as BytePath, name: '', layer: 0 };
  }

  /** An entry at its own place: no component of `directory` may be a symlink; undefined when there is none. */
  lookup(directory: string, name: string): LowerEntry | undefined {
    for (const layer of this.#candidates(directory, name)) {
      const dir = this.#fd(layer, directory);
      const stat = statAt(dir, name);
      if (!stat) continue;
      if (this.#isWhiteout(dir, name, stat)) return undefined;
      return { stat: this.#withOwner(dir, name, stat), directory: directory as BytePath, name, layer };
    }
    return undefined;
  }

  /** The names a directory shows. */
  names(directory: string): string[] {
    return [...this.decided(directory)].filter(([, shown]) => shown).map(([name]) => name);
  }

  /** The names the layers say something of in a directory; false where that is that what lies below is gone. */
  decided(directory: string): ReadonlyMap<string, boolean> {
    const found = new Map<string, boolean>();
    for (const layer of this.#layersOf(directory)) {
      const dir = this.#fd(layer, directory);
      for (const entry of scanDirectory(dir)) {
        if (!found.has(entry.name)) found.set(entry.name, !this.#isWhiteout(dir, entry.name, entry));
      }
    }
    return found;
  }

  /** Whether a directory hides what further layers, beneath all of these, have in it. */
  isOpaque(directory: string, name: string): boolean {
    for (const layer of this.#candidates(directory, name)) {
      const dir = this.#fd(layer, directory);
      const stat = statAt(dir, name);
      if (!stat) continue;
      if (stat.type !== fileType.directory || this.#isWhiteout(dir, name, stat)) return true;
      if (this.#opaque(this.#fd(layer, childPath(directory, name))) === 'y') return true;
    }
    return false;
  }

  readlink(entry: LowerEntry): BytePath {
    return native.readlinkAt(this.#fd(entry.layer, entry.directory), entry.name) as BytePath;
  }

  xattrs(entry: LowerEntry): Map<string, Uint8Array> | undefined {
    return readXattrs(this.#fd(entry.layer, entry.directory), entry.name, isLayerXattr);
  }

  /** A regular file, for reading; the caller closes it. */
  open(entry: LowerEntry): number {
    const flags = constants.O_RDONLY | constants.O_NONBLOCK;
    return native.openBeneath(this.#fd(entry.layer, entry.directory), entry.name, flags, 0);
  }

  /** The layers whose directory of that path is visible, highest first; none when it is no directory. */
  #layersOf(path: string): readonly number[] {
    const known = this.#directories.get(path);
    if (known) return known;
    const found = path === '' ? [...this.#roots.keys()] : this.#merge(parentPath(path), baseName(path));
    if (this.#directories.size >= rememberedDirectories) this.#directories.clear();
    this.#directories.set(path, found);
    return found;
  }

  #merge(directory: string, name: string): number[] {
    const layers = this.#candidates(directory, name);
    const merged: number[] = [];
    for (const layer of layers) {
      const dir = this.#fd(layer, directory);
      const stat = statAt(dir, name);
      if (!stat) continue;
      if (stat.type !== fileType.directory || this.#isWhiteout(dir, name, stat)) break;
      merged.push(layer);
      if (layer !== layers.at(-1) && this.#opaque(this.#fd(layer, childPath(directory, name))) === 'y') break;
    }
    return merged;
  }

  /** The layers that show the directory and may have the name, highest first. */
  #candidates(directory: string, name: string): readonly number[] {
    // Few layers of a deep chain change a directory, but all of them have a root: there one call asks them all.
    return directory === '' ? native.holders(this.#roots, name) : this.#layersOf(directory);
  }

  #isWhiteout(dir: number, name: string, stat: FileStat): boolean {
    if (isWhiteoutDevice(stat)) return true;
    if (stat.type !== fileType.regular || stat.size !== 0 || this.#opaque(dir) !== 'x') return false;
    return native.getXattr(dir, name, `${this.#prefix}overlay.whiteout`) !== undefined;
  }

  #withOwner(dir: number, name: string, stat: FileStat): FileStat {
    return this.#recordsOwners ? withRecordedOwner(dir, name, stat) : stat;
  }

  #opaque(fd: number): string | undefined {
    return native.getXattr(fd, '', `${this.#prefix}overlay.opaque`)?.toString('latin1');
  }

  #fd(layer: number, directory: string): number {
    const root = this.#roots[layer];
    if (root === undefined) throw new RangeError(`no layer ${layer}`);
    if (directory === '') return root;
    this.#handles[layer] ??= new DirectoryHandles(root, handlesPerLayer);
    return this.#handles[layer].fd(directory as BytePath);
  }
}
