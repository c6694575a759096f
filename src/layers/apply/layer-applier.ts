/**
 * Unpacks one layer into a directory in overlayfs form (OCI image spec, layer.md, "Applying Changesets").
 *
 * A name means the path it has in the merged tree of this layer and those below: parents that are symlinks, here or
 * below, are followed inside the tree, so `var/run/x` above `var/run -> /run` lands in `run/x`; the last component is
 * never followed. Parents the layer does not name are made as overlayfs would copy them up, with the metadata they
 * have below. Entries take effect in order, the last one wins; whiteouts concern the layers below only, wherever they
 * stand.
 * Invariant: nothing outside the target is made, changed or read, but for the lowers' files that hardlinks name.
 */
import type { BytePath } from '../../core/index.ts';
import { fileType } from '../native/stat.ts';
import { layerName } from '../tar/layer-path.ts';
import type { TarEntry } from '../tar/tar-entry.ts';
import { layerInvalid, shown } from '../tar/tar-errors.ts';
import { baseName, childPath, parentPath, resolvePlace } from '../tree/resolve-place.ts';
import { naming } from '../worker/system-error.ts';
import { copyEntry } from './copy-entry.ts';
import { EntryApplier, type LinkSource, unnamedDirectory } from './entry-applier.ts';
import { type LowerEntry, LowerStack, type OverlayXattrPrefix } from './lower-stack.ts';
import { type DirectoryMetadata, newOwnDirectory, type OwnDirectory, type OwnNode, type Place } from './own-tree.ts';

export interface ApplyOptions {
  /** An empty directory. */
  readonly target: string;
  /** The unpacked layers below, highest first. */
  readonly lowers: readonly string[];
  readonly xattrPrefix: OverlayXattrPrefix;
}

export class LayerApplier extends EntryApplier {
  readonly #lowers: LowerStack;
  readonly #root: OwnDirectory = newOwnDirectory('' as BytePath, false);
  readonly #rootPlace: Place = { parent: undefined, path: '' as BytePath, own: this.#root, merged: true };
  /** The directory of the entry before, by its name in the archive: the next one is usually in it too. */
  #last: { readonly name: string; readonly place: Place } | undefined;

  constructor(options: ApplyOptions) {
    super(options.target, options.xattrPrefix);
    this.#lowers = new LowerStack(options.lowers, options.xattrPrefix);
  }

  /** Whiteouts, opaque marks and the directories' metadata. @returns what could not be made as the layer says */
  override finish(): readonly string[] {
    this.#spellOutRoot();
    const pending: Pending[] = [{ directory: this.#root, within: true, entered: false }];
    for (let top = pending.at(-1); top !== undefined; top = pending.at(-1)) {
      const { directory, within } = top;
      if (top.entered) {
        pending.pop();
        naming('unpacking', directory.path, () => this.#finishDirectory(directory, within));
        continue;
      }
      top.entered = true;
      for (const child of directory.children.values()) {
        if (typeof child === 'object') {
          pending.push({ directory: child, within: within && !directory.opaque, entered: false });
        }
      }
    }
    return this.notes.sentences();
  }

  override close(): void {
    super.close();
    this.#lowers.close();
  }

  protected override describeRoot(entry: TarEntry): void {
    this.#root.metadata = { ...entry, xattrs: entry.xattrs };
  }

  protected override place(entry: TarEntry, path: BytePath): void {
    const parent = this.#materialize(this.#parentPlace(path), entry.name);
    const name = baseName(path);
    const before = parent.children.get(name);
    const own = childPath(parent.path, name) as BytePath;
    if (entry.kind === 'directory') {
      const directory = typeof before === 'object' ? before : this.#newDirectory(parent, name, before);
      directory.metadata = { ...entry, xattrs: entry.xattrs };
      return;
    }
    const link = entry.kind === 'hardlink' ? this.#linkSource(entry) : undefined;
    if (link?.path === own) return;
    if (link?.path.startsWith(`${own}/`))
      throw layerInvalid(`the hardlink ${shown(entry.name)} replaces what it names`);
    this.#clear(parent, name, before);
    this.make(entry, parent.path, name, link);
    parent.children.set(name, link?.node ?? (entry.kind === 'file' || entry.kind === 'symlink' ? entry.kind : 'other'));
  }

  #newDirectory(parent: OwnDirectory, name: string, before: OwnNode | undefined): OwnDirectory {
    this.#clear(parent, name, before);
    this.target.makeDirectory(parent.path, name);
    // A whiteout or a file of this layer came first: what lies below was gone by then.
    const opaque = before !== undefined || (parent.gone?.has(name) ?? false);
    const made = newOwnDirectory(childPath(parent.path, name) as BytePath, opaque);
    parent.children.set(name, made);
    return made;
  }

  /** Frees a name for another entry, as tar does when one replaces another. */
  #clear(parent: OwnDirectory, name: string, before: OwnNode | undefined): void {
    if (before === undefined) return;
    this.#last = undefined;
    const doomed: { directory: BytePath; name: string; node: OwnNode }[] = [
      { directory: parent.path, name, node: before },
    ];
    // Parents come before their children in the list, so it is undone from its end.
    for (let i = 0; i < doomed.length; i++) {
      const node = doomed[i]?.node;
      if (typeof node !== 'object') continue;
      for (const [child, below] of node.children) doomed.push({ directory: node.path, name: child, node: below });
    }
    for (const { directory, name: child, node } of doomed.reverse()) {
      this.target.remove(directory, child, typeof node === 'object');
    }
    parent.children.delete(name);
  }

  protected override takeAway(path: BytePath): void {
    const place = this.#parentPlace(path);
    const name = baseName(path);
    const own = place.own?.children.get(name);
    if (typeof own === 'object') own.opaque = true;
    if (own !== undefined || !this.#isBelow(place, name)) return;
    const parent = this.#materialize(place, path);
    parent.gone ??= new Set();
    parent.gone.add(name);
    this.#last = undefined;
  }

  protected override makeOpaque(path: BytePath): void {
    const place = this.#resolve(path);
    if (!place.own && !this.#exists(place)) return;
    this.#materialize(place, path).opaque = true;
    this.#last = undefined;
  }

  /** A file that a hardlink names; one of the layers below is copied up first, as overlayfs does. */
  #linkSource(entry: TarEntry): OwnLinkSource | undefined {
    const link = layerName(entry.linkTarget ?? '');
    if (link.kind !== 'entry' || link.path === '') return undefined;
    const place = this.#parentPlace(link.path);
    const name = baseName(link.path);
    const path = childPath(place.path, name) as BytePath;
    const own = place.own?.children.get(name);
    if (typeof own === 'object') throw layerInvalid(`the hardlink ${shown(entry.name)} names a directory`);
    if (own !== undefined) return { directory: place.path, name, path, node: own };
    const below = this.#below(place, name);
    if (!below || below.stat.type === fileType.directory) return undefined;
    const parent = this.#materialize(place, entry.name);
    const node = this.#copyUp(below, parent, name);
    parent.children.set(name, node);
    return { directory: parent.path, name, path, node };
  }

  #copyUp(below: LowerEntry, parent: OwnDirectory, name: string): OwnNode {
    copyEntry(this.#lowers, below, this.target, parent.path, name);
    if (below.stat.type === fileType.symlink) return 'symlink';
    return below.stat.type === fileType.regular ? 'file' : 'other';
  }

  /** Where the parent of a path is in the merged tree. */
  #parentPlace(path: BytePath): Place {
    const parent = parentPath(path);
    if (this.#last?.name === parent) return this.#last.place;
    const place = this.#resolve(parent);
    // Only the layer's own directories: what lies below may be replaced by any entry.
    if (place.own) this.#last = { name: parent, place };
    return place;
  }

  #resolve(path: string): Place {
    return resolvePlace(this.#rootPlace, path, (at, name) => {
      const path = childPath(at.path, name) as BytePath;
      const own = at.own?.children.get(name);
      if (own === 'symlink') return this.target.readlink(at.path, name);
      if (typeof own === 'string')
        throw layerInvalid(`${shown(path)} is no directory, yet something is to be put below it`);
      if (own) return { parent: at, path, own, merged: showsThrough(at) && !own.opaque };
      const below = this.#below(at, name);
      if (!below) return { parent: at, path, own: undefined, merged: false };
      if (below.stat.type === fileType.symlink) return this.#lowers.readlink(below);
      if (below.stat.type === fileType.directory) return { parent: at, path, own: undefined, merged: true };
      throw layerInvalid(`${shown(path)} is no directory in the layers below, yet something is to be put below it`);
    });
  }

  /** Makes a place a directory of this layer, and all above it. */
  #materialize(place: Place, forName: string): OwnDirectory {
    if (place.own) return place.own;
    const missing: Place[] = [];
    let at: Place = place;
    while (!at.own && at.parent) {
      missing.push(at);
      at = at.parent;
    }
    let own = at.own ?? this.#root;
    for (const { path, merged } of missing.reverse()) {
      const name = baseName(path);
      const before = own.children.get(name);
      if (typeof before === 'string') throw layerInvalid(`${shown(forName)} is to be put below a file`);
      own = before ?? this.#newDirectory(own, name, undefined);
      const below = merged ? this.#lowers.lookup(parentPath(path), name) : undefined;
      if (below) own.metadata = { ...below.stat, xattrs: this.#lowers.xattrs(below) };
    }
    return own;
  }

  #exists(place: Place): boolean {
    return place.parent === undefined || place.own !== undefined || place.merged;
  }

  #isBelow(place: Place, name: string): boolean {
    return this.#below(place, name) !== undefined;
  }

  #below(place: Place, name: string): LowerEntry | undefined {
    if (!showsThrough(place) || place.own?.gone?.has(name)) return undefined;
    return this.#lowers.lookup(place.path, name);
  }

  /** Overlayfs takes no notice of an opaque mark on a layer's root: each name below is hidden for itself. */
  #spellOutRoot(): void {
    if (!this.#root.opaque) return;
    this.#root.opaque = false;
    this.#root.gone ??= new Set();
    for (const name of this.#lowers.names('')) {
      const own = this.#root.children.get(name);
      if (typeof own === 'object') own.opaque = true;
      else this.#root.gone.add(name);
    }
  }

  #finishDirectory(directory: OwnDirectory, within: boolean): void {
    if (within && !directory.opaque) {
      for (const gone of directory.gone ?? []) {
        if (!directory.children.has(gone)) this.target.makeWhiteout(directory.path, gone);
      }
    }
    // Where nothing lies below, the mark would only cost overlayfs a look at every lower.
    const opaque = within && directory.opaque && this.#directoryBelow(directory) !== undefined;
    this.target.finishDirectory(directory.path, directory.metadata ?? this.#unnamed(directory), opaque);
  }

  /** What a directory is that no entry describes and that the layers below did not have. */
  #unnamed(directory: OwnDirectory): DirectoryMetadata {
    const below = directory === this.#root ? this.#lowers.root() : undefined;
    return below ? { ...below.stat, xattrs: this.#lowers.xattrs(below) } : unnamedDirectory;
  }

  #directoryBelow({ path }: OwnDirectory): LowerEntry | undefined {
    const below = path === '' ? this.#lowers.root() : this.#lowers.lookup(parentPath(path), baseName(path));
    return below?.stat.type === fileType.directory ? below : undefined;
  }
}

/** A directory to finish, after what is in it. */
interface Pending {
  readonly directory: OwnDirectory;
  /** The layers below show through where it stands. */
  readonly within: boolean;
  entered: boolean;
}

interface OwnLinkSource extends LinkSource {
  readonly path: BytePath;
  readonly node: OwnNode;
}

/** Whether names of the layers below are seen in this directory. */
function showsThrough(place: Place): boolean {
  return place.merged && !place.own?.opaque;
}
