/**
 * Unpacks one layer over what the layers below it left in the same directory (OCI image spec, layer.md, "Applying
 * Changesets"), for steps that run where nothing can be mounted. It reads layers as `layer-applier.ts` does: parents that
 * are symlinks are followed inside the tree, the last entry of a name wins, whiteouts concern the layers below only,
 * wherever they stand. A whiteout takes effect at once: what it names is removed.
 * Invariant: nothing outside the target is made, changed or read.
 */
import type { BytePath } from '../../core/index.ts';
import { type FileStat, fileType } from '../native/stat.ts';
import { layerName } from '../tar/layer-path.ts';
import type { TarEntry } from '../tar/tar-entry.ts';
import { layerInvalid, shown } from '../tar/tar-errors.ts';
import { baseName, childPath, parentPath, resolvePlace } from '../tree/resolve-place.ts';
import { naming } from '../worker/system-error.ts';
import { EntryApplier, type LinkSource, unnamedDirectory } from './entry-applier.ts';
import type { DirectoryMetadata } from './own-tree.ts';

interface Place {
  readonly parent: Place | undefined;
  readonly path: BytePath;
  readonly exists: boolean;
}

export class PlainApplier extends EntryApplier {
  /** What this layer made or put something into. */
  readonly #own = new Set<string>();
  /** Directories among them, with what they are to be at the end. */
  readonly #directories = new Map<BytePath, { metadata: DirectoryMetadata; described: boolean }>();

  constructor(target: string) {
    // No mark of overlayfs is ever made here.
    super(target, 'user.');
  }

  /** The directories' metadata. @returns what could not be made as the layer says */
  override finish(): readonly string[] {
    // A directory was entered into the map after its parents.
    for (const [path, { metadata, described }] of [...this.#directories].reverse()) {
      naming('unpacking', path, () => {
        if (described) this.target.dropXattrs(path);
        this.target.finishDirectory(path, metadata, false);
      });
    }
    return this.notes.sentences();
  }

  protected override describeRoot(entry: TarEntry): void {
    this.#describe('' as BytePath, entry);
  }

  protected override place(entry: TarEntry, path: BytePath): void {
    const parent = this.#materialize(this.#resolve(parentPath(path)));
    const name = baseName(path);
    const own = childPath(parent, name) as BytePath;
    const before = this.target.stat(parent, name);
    if (entry.kind === 'directory') {
      if (before?.type !== fileType.directory) {
        if (before) this.#remove(parent, name, before);
        this.target.makeDirectory(parent, name);
      }
      this.#describe(own, entry);
      return;
    }
    const link = entry.kind === 'hardlink' ? this.#linkSource(entry) : undefined;
    if (link && childPath(link.directory, link.name) === own) return;
    if (link && childPath(link.directory, link.name).startsWith(`${own}/`)) {
      throw layerInvalid(`the hardlink ${shown(entry.name)} replaces what it names`);
    }
    if (before) this.#remove(parent, name, before);
    this.make(entry, parent, name, link);
    this.#own.add(own);
  }

  #linkSource(entry: TarEntry): LinkSource | undefined {
    const link = layerName(entry.linkTarget ?? '');
    if (link.kind !== 'entry' || link.path === '') return undefined;
    const place = this.#resolve(parentPath(link.path));
    const name = baseName(link.path);
    const found = place.exists ? this.target.stat(place.path, name) : undefined;
    if (!found) return undefined;
    if (found.type === fileType.directory) throw layerInvalid(`the hardlink ${shown(entry.name)} names a directory`);
    return { directory: place.path, name };
  }

  protected override takeAway(path: BytePath): void {
    const place = this.#resolve(parentPath(path));
    const name = baseName(path);
    const found = place.exists ? this.target.stat(place.path, name) : undefined;
    if (!found) return;
    const own = childPath(place.path, name) as BytePath;
    if (this.#own.has(own)) {
      if (found.type === fileType.directory) this.#removeLower(own);
      return;
    }
    this.#remove(this.#materialize(place), name, found);
  }

  protected override makeOpaque(path: BytePath): void {
    const place = this.#resolve(path);
    if (place.exists) this.#removeLower(this.#materialize(place));
  }

  /** Removes what the layers below put into a directory. */
  #removeLower(directory: BytePath): void {
    for (const child of this.target.entries(directory)) {
      const path = childPath(directory, child.name) as BytePath;
      if (!this.#own.has(path)) this.#remove(directory, child.name, child);
      else if (child.type === fileType.directory) this.#removeLower(path);
    }
  }

  #remove(directory: BytePath, name: string, stat: FileStat): void {
    const path = childPath(directory, name) as BytePath;
    const isDirectory = stat.type === fileType.directory;
    if (isDirectory) for (const child of this.target.entries(path)) this.#remove(path, child.name, child);
    this.target.remove(directory, name, isDirectory);
    this.#own.delete(path);
    this.#directories.delete(path);
  }

  #resolve(path: string): Place {
    const root: Place = { parent: undefined, path: '' as BytePath, exists: true };
    // Its own directory, or one it put something into: nothing on the way there is a symlink.
    if (this.#directories.has(path as BytePath)) return { parent: root, path: path as BytePath, exists: true };
    return resolvePlace(root, path, (at, name) => {
      const path = childPath(at.path, name) as BytePath;
      const stat = at.exists ? this.target.stat(at.path, name) : undefined;
      if (!stat) return { parent: at, path, exists: false };
      if (stat.type === fileType.symlink) return this.target.readlink(at.path, name);
      if (stat.type === fileType.directory) return { parent: at, path, exists: true };
      throw layerInvalid(`${shown(path)} is no directory, yet something is to be put below it`);
    });
  }

  /** Makes a place a directory of this layer, and all above it; one that was there keeps its metadata. */
  #materialize({ path, exists }: Place): BytePath {
    if (this.#directories.has(path)) return path;
    const parent = parentPath(path) as BytePath;
    if (path !== '') this.#materialize({ parent: undefined, path: parent, exists });
    const before = path === '' ? this.target.stat('' as BytePath, '') : this.target.stat(parent, baseName(path));
    if (!before) this.target.makeDirectory(parent, baseName(path));
    const { mode, uid, gid, mtime } = before ?? unnamedDirectory;
    this.#directories.set(path, { metadata: { mode, uid, gid, mtime, xattrs: undefined }, described: false });
    this.#own.add(path);
    return path;
  }

  #describe(path: BytePath, entry: TarEntry): void {
    this.#materialize({ parent: undefined, path, exists: true });
    const { mode, uid, gid, mtime, xattrs } = entry;
    this.#directories.set(path, { metadata: { mode, uid, gid, mtime, xattrs }, described: true });
  }
}
