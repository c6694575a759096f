/**
 * Walks an overlay's upper directory and says what a step changed, in the terms of a layer: what BuildKit's overlay
 * differ says (moby/buildkit, util/overlay), with these rules.
 * - A character device 0/0 is a whiteout, when the layers below have the name.
 * - An opaque directory hides those below; overlayfs also marks new directories, which need no marker.
 * - A directory with the same metadata as below counts only as the parent of what changed; its time is not compared.
 * - A file overlayfs copied up without a change (same metadata, time and content) does not count.
 * - Sockets do not count.
 * Invariant: entries come parents first, names in byte order; nothing outside the upper directory and the lowers is read.
 */
import { closeSync, readSync } from 'node:fs';
import { type BytePath, TsbuildError } from '../../core/index.ts';
import type { LowerEntry, LowerStack, OverlayXattrPrefix } from '../apply/lower-stack.ts';
import { native } from '../native/addon.ts';
import { DirectoryHandles } from '../native/directory-handles.ts';
import { recordsOwners, withRecordedOwner } from '../native/recorded-owner.ts';
import { type FileStat, fileType, isWhiteoutDevice, type ScannedEntry, scanDirectory } from '../native/stat.ts';
import { equalXattrs, isLayerXattr, readXattrs } from '../native/xattrs.ts';
import { shown } from '../tar/tar-errors.ts';
import { childPath } from '../tree/resolve-place.ts';
import { naming } from '../worker/system-error.ts';

export type Xattrs = Map<string, Uint8Array> | undefined;

export interface UpperVisitor {
  directory(path: BytePath, stat: FileStat, xattrs: Xattrs): void;
  opaque(path: BytePath): void;
  whiteout(path: BytePath): void;
  /** Anything but a directory. `dir` is the descriptor of its directory, valid during the call. */
  leaf(path: BytePath, stat: ScannedEntry, dir: number): void;
}

/** A directory being walked. */
interface Level {
  readonly path: BytePath;
  /** The layers below show through. */
  readonly merged: boolean;
  /** Not visited yet: it will be when something in it changed. */
  pending: { readonly stat: FileStat; readonly xattrs: Xattrs } | undefined;
  readonly entries: readonly ScannedEntry[];
  next: number;
}

export function walkUpper(
  root: number,
  lowers: LowerStack,
  prefix: OverlayXattrPrefix,
  visitor: UpperVisitor,
  eachEntry: (entry: ScannedEntry) => void,
): void {
  const handles = new DirectoryHandles(root, 256);
  try {
    new UpperWalk(handles, lowers, prefix, visitor).run(eachEntry);
  } finally {
    handles.close();
  }
}

class UpperWalk {
  readonly #handles: DirectoryHandles;
  readonly #lowers: LowerStack;
  readonly #prefix: string;
  readonly #visitor: UpperVisitor;
  readonly #levels: Level[] = [];
  readonly #recordsOwners = recordsOwners();

  constructor(handles: DirectoryHandles, lowers: LowerStack, prefix: OverlayXattrPrefix, visitor: UpperVisitor) {
    this.#handles = handles;
    this.#lowers = lowers;
    this.#prefix = `${prefix}overlay.`;
    this.#visitor = visitor;
  }

  run(eachEntry: (entry: ScannedEntry) => void): void {
    this.#levels.push(this.#level('' as BytePath, true, undefined));
    for (let level = this.#levels.at(-1); level; level = this.#levels.at(-1)) {
      const entry = level.entries[level.next++];
      if (entry === undefined) {
        this.#levels.pop();
        continue;
      }
      eachEntry(entry);
      const path = childPath(level.path, entry.name) as BytePath;
      naming('reading', path, () => this.#enter(level, entry, path));
    }
  }

  #enter(level: Level, entry: ScannedEntry, path: BytePath): void {
    if (entry.type === fileType.socket) return;
    const below = level.merged ? this.#lowers.lookup(level.path, entry.name) : undefined;
    if (isWhiteoutDevice(entry)) {
      if (!below) return;
      this.#visitPending();
      this.#visitor.whiteout(path);
    } else if (entry.type === fileType.directory) {
      this.#enterDirectory(level, entry, path, below);
    } else {
      const dir = this.#handles.fd(level.path);
      if (below && this.#isUnchanged(entry, dir, below)) return;
      this.#visitPending();
      this.#visitor.leaf(path, entry, this.#handles.fd(level.path));
    }
  }

  #enterDirectory(level: Level, entry: ScannedEntry, path: BytePath, below: LowerEntry | undefined): void {
    const fd = this.#handles.fd(path);
    const marks = native.listXattrs(fd, '').split('\0');
    this.#refuseFeatures(marks, path);
    const xattrs = readXattrs(fd, '', isLayerXattr);
    const onDirectory = below?.stat.type === fileType.directory;
    const opaque =
      onDirectory && marks.includes(`${this.#prefix}opaque`)
        ? native.getXattr(fd, '', `${this.#prefix}opaque`)?.toString('latin1') === 'y'
        : false;
    const changed =
      !below ||
      !onDirectory ||
      opaque ||
      !sameMetadata(entry, below.stat) ||
      !equalXattrs(xattrs, this.#lowers.xattrs(below));
    const next = this.#level(path, level.merged && onDirectory && !opaque, { stat: entry, xattrs });
    this.#levels.push(next);
    if (changed) this.#visitPending();
    if (opaque) this.#visitor.opaque(path);
  }

  #level(path: BytePath, merged: boolean, pending: Level['pending']): Level {
    const dir = this.#handles.fd(path);
    const found = scanDirectory(dir);
    const entries = this.#recordsOwners ? found.map((entry) => withRecordedOwner(dir, entry.name, entry)) : found;
    return { path, merged, pending, entries, next: 0 };
  }

  /** Visits the directories on the way down that were not yet. */
  #visitPending(): void {
    for (const level of this.#levels) {
      if (!level.pending) continue;
      const { stat, xattrs } = level.pending;
      level.pending = undefined;
      this.#visitor.directory(level.path, stat, xattrs);
    }
  }

  #isUnchanged(entry: ScannedEntry, dir: number, below: LowerEntry): boolean {
    const { stat } = below;
    // Names of one file belong together: a hardlink is always written.
    if (stat.type !== entry.type || entry.links > 1 || !sameMetadata(entry, stat)) return false;
    if (stat.mtime !== entry.mtime || stat.size !== entry.size) return false;
    if (stat.major !== entry.major || stat.minor !== entry.minor) return false;
    if (!equalXattrs(readXattrs(dir, entry.name, isLayerXattr), this.#lowers.xattrs(below))) return false;
    if (entry.type === fileType.symlink) return native.readlinkAt(dir, entry.name) === this.#lowers.readlink(below);
    return entry.type !== fileType.regular || this.#sameContent(entry, dir, below);
  }

  #sameContent(entry: ScannedEntry, dir: number, below: LowerEntry): boolean {
    const a = native.openBeneath(dir, entry.name, 0, 0);
    try {
      const b = this.#lowers.open(below);
      try {
        return equalContent(a, b);
      } finally {
        closeSync(b);
      }
    } finally {
      closeSync(a);
    }
  }

  #refuseFeatures(marks: readonly string[], path: BytePath): void {
    const feature = ['redirect', 'metacopy'].find((name) => marks.includes(`${this.#prefix}${name}`));
    if (feature === undefined) return;
    throw new TsbuildError({
      code: 'layer-upper-unsupported',
      message: `${shown(path)} carries overlayfs' ${feature} mark, which its layer cannot express`,
      hint: 'Mount the overlay with redirect_dir=off,metacopy=off.',
    });
  }
}

function sameMetadata(a: FileStat, b: FileStat): boolean {
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid;
}

function equalContent(a: number, b: number): boolean {
  const size = 128 * 1024;
  const [left, right] = [Buffer.allocUnsafe(size), Buffer.allocUnsafe(size)];
  for (let at = 0; ; ) {
    const count = readSync(a, left, 0, size, at);
    if (readSync(b, right, 0, size, at) !== count || left.compare(right, 0, count, 0, count) !== 0) return false;
    if (count === 0) return true;
    at += count;
  }
}
