/**
 * What the entries of a layer mean in every form a layer is unpacked in: which of them are whiteouts, where the content of
 * a file goes, what is made of each kind. A form (layer-applier.ts, plain-applier.ts) knows where a name is and what lies
 * there.
 * Invariant: nothing outside the target is made, changed or read.
 */
import type { BytePath } from '../../core/index.ts';
import { layerName } from '../tar/layer-path.ts';
import type { TarEntry } from '../tar/tar-entry.ts';
import { layerInvalid, shown } from '../tar/tar-errors.ts';
import type { TarHandlers } from '../tar/tar-reader.ts';
import { naming } from '../worker/system-error.ts';
import { FileContent } from './file-content.ts';
import type { OverlayXattrPrefix } from './lower-stack.ts';
import { Notes } from './notes.ts';
import { Target } from './target.ts';

/** What a directory gets that no layer describes. Its time is fixed so that unpacking twice gives the same. */
export const unnamedDirectory = { mode: 0o755, uid: 0, gid: 0, mtime: 0n, xattrs: undefined } as const;

/** Where the file is that a hardlink names. */
export interface LinkSource {
  readonly directory: BytePath;
  readonly name: string;
}

export abstract class EntryApplier implements TarHandlers {
  protected readonly notes = new Notes();
  protected readonly target: Target;
  #content: FileContent | undefined;

  constructor(target: string, xattrPrefix: OverlayXattrPrefix) {
    this.target = new Target(target, xattrPrefix, this.notes);
  }

  onEntry(entry: TarEntry): void {
    naming('unpacking', entry.name, () => this.#enter(entry));
  }

  onData(chunk: Buffer, position: number): void {
    this.#content?.write(chunk, position);
  }

  onEntryEnd(entry: TarEntry): void {
    naming('unpacking', entry.name, () => this.#content?.end());
    this.#content = undefined;
  }

  /** What can only be made when all entries are known. @returns what could not be made as the layer says */
  abstract finish(): readonly string[];

  close(): void {
    this.#content?.close();
    this.target.close();
  }

  protected abstract describeRoot(entry: TarEntry): void;
  protected abstract place(entry: TarEntry, path: BytePath): void;
  /** A whiteout: what the layers below have at this path goes. */
  protected abstract takeAway(path: BytePath): void;
  /** What the layers below have in this directory goes. */
  protected abstract makeOpaque(path: BytePath): void;

  /** Makes anything but a directory, at a name that is free. */
  protected make(entry: TarEntry, parent: BytePath, name: string, link: LinkSource | undefined): void {
    switch (entry.kind) {
      case 'file':
        this.#content = new FileContent(this.target, entry, parent, name);
        return;
      case 'symlink':
        this.target.makeSymlink(parent, name, entry.linkTarget ?? '', entry);
        return;
      case 'hardlink':
        if (!link) throw layerInvalid(`${shown(entry.name)} links to nothing`);
        this.target.makeHardlink(link.directory, link.name, parent, name);
        return;
      case 'char':
      case 'block':
      case 'fifo':
        this.target.makeNode(parent, name, entry.kind, entry.device ?? { major: 0, minor: 0 }, entry);
        return;
      case 'directory':
        throw layerInvalid(`${shown(entry.name)} is a directory`);
    }
  }

  #enter(entry: TarEntry): void {
    const name = layerName(entry.name);
    switch (name.kind) {
      case 'ignored':
        return;
      case 'opaque':
        return this.makeOpaque(name.path);
      case 'whiteout':
        return this.takeAway(name.path);
      case 'entry':
        if (name.path !== '') return this.place(entry, name.path);
        if (entry.kind === 'directory') return this.describeRoot(entry);
        throw layerInvalid(`${shown(entry.name)} would take the place of the root directory`);
    }
  }
}
