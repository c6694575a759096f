/**
 * The job that makes a step's layer: walks the upper directory, writes the tar, hashes it, all in one pass.
 * Invariant: the layer depends on the upper directory's content and on nothing else: not on readdir's order, inode
 * numbers, or how a file is stored.
 */
import { closeSync } from 'node:fs';
import { type BytePath, TsbuildError } from '../../core/index.ts';
import type { Digest } from '../../image/index.ts';
import { LowerStack, type OverlayXattrPrefix } from '../apply/lower-stack.ts';
import { hasXattrs, native, notRegular, sizeDiffers } from '../native/addon.ts';
import { openRoot } from '../native/directory-handles.ts';
import type { OpenRoots } from '../native/open-roots.ts';
import { type FileStat, fileType, type ScannedEntry } from '../native/stat.ts';
import { isLayerXattr, readXattrs } from '../native/xattrs.ts';
import { opaquePath, refuseReservedName, whiteoutPath } from '../tar/layer-path.ts';
import type { HeaderFields } from '../tar/tar-encoder.ts';
import { shown } from '../tar/tar-errors.ts';
import { blockSize } from '../tar/tar-format.ts';
import type { EntryKind } from '../types.ts';
import type { JobControl } from '../worker/job-control.ts';
import { LayerDraft } from '../worker/layer-draft.ts';
import { layerFailure } from '../worker/system-error.ts';
import { clamped } from '../worker/write-layer.ts';
import { type UpperVisitor, walkUpper, type Xattrs } from './upper-walk.ts';

export interface DiffUpperInput {
  readonly upper: string;
  /** What the overlay was mounted over, highest first. */
  readonly lowers: readonly string[];
  readonly draft: string;
  readonly latestMtime?: bigint;
  readonly xattrPrefix: OverlayXattrPrefix;
}

export interface DiffUpperOutput {
  readonly diffId: Digest;
  readonly size: number;
}

export interface DiffUpperOptions {
  /** Sees each entry before it is packed; what it throws ends the job. */
  readonly eachEntry?: (entry: ScannedEntry) => void;
  /** Keeps the roots of the layers below open for the next time. */
  readonly kept?: OpenRoots;
  /** See `LayerDraft`. */
  readonly buffer?: Buffer;
}

export function diffUpper(input: DiffUpperInput, control: JobControl, options: DiffUpperOptions = {}): DiffUpperOutput {
  const root = openRoot(input.upper);
  const lowers = new LowerStack(input.lowers, input.xattrPrefix, options.kept);
  const draft = new LayerDraft(input.draft, control, options.buffer);
  try {
    const packer = new UpperPacker(draft, input.latestMtime);
    walkUpper(root, lowers, input.xattrPrefix, packer, (entry) => {
      control.throwIfAborted();
      options.eachEntry?.(entry);
    });
    return draft.finish();
  } catch (error) {
    throw layerFailure(error, 'packing the changes of a step');
  } finally {
    draft.close();
    lowers.close();
    closeSync(root);
  }
}

const smallFile = 128 * 1024;
const longName = 8192;
/** Markers describe nothing; containerd and BuildKit give them the time 0 as well. */
const marker = { kind: 'file', mode: 0, uid: 0, gid: 0, size: 0, mtime: 0n } as const;

export class UpperPacker implements UpperVisitor {
  readonly #draft: LayerDraft;
  readonly #latest: bigint | undefined;
  /** First name of every file with several. */
  readonly #linked = new Map<bigint, BytePath>();

  constructor(draft: LayerDraft, latest: bigint | undefined) {
    this.#draft = draft;
    this.#latest = latest;
  }

  directory(path: BytePath, stat: FileStat, xattrs: Xattrs): void {
    this.#header(path, 'directory', stat, xattrs);
  }

  opaque(path: BytePath): void {
    this.#draft.header({ ...marker, path: opaquePath(path) });
  }

  whiteout(path: BytePath): void {
    refuseReservedName(path);
    this.#draft.header({ ...marker, path: whiteoutPath(path) });
  }

  leaf(path: BytePath, stat: ScannedEntry, dir: number): void {
    if (stat.links > 1) {
      const first = this.#linked.get(stat.inode);
      if (first !== undefined) {
        this.#header(path, 'hardlink', { ...stat, size: 0 }, undefined, first);
        return;
      }
      this.#linked.set(stat.inode, path);
    }
    if (stat.type === fileType.regular) this.#file(path, stat, dir);
    else {
      const xattrs = readXattrs(dir, stat.name, isLayerXattr);
      const target = stat.type === fileType.symlink ? native.readlinkAt(dir, stat.name) : undefined;
      this.#header(path, leafKind(stat), { ...stat, size: 0 }, xattrs, target as BytePath | undefined);
    }
  }

  #file(path: BytePath, stat: ScannedEntry, dir: number): void {
    const { size, name } = stat;
    if (size > smallFile) return this.#largeFile(path, stat, dir);
    if (!this.#plainFile(path, stat, dir)) {
      this.#header(path, 'file', stat, readXattrs(dir, name, isLayerXattr));
      this.#draft.inPlace(size, (buffer, offset) => {
        const result = native.readWhole(dir, name, buffer, offset, size, 0);
        if (result === notRegular || result === sizeDiffers) throw changed(path);
      });
      this.#draft.endContent(size);
    }
  }

  /** The usual file, in one call; false when it has attributes that must stand in the header before it. */
  #plainFile(path: BytePath, stat: ScannedEntry, dir: number): boolean {
    const { size, name } = stat;
    // A header with PAX records takes three blocks and the name.
    const room = size + 4 * blockSize + 2 * path.length;
    if (path.length > longName) return false;
    const mark = this.#draft.mark(room);
    this.#header(path, 'file', stat, undefined);
    let result = 0;
    this.#draft.inPlace(size, (buffer, offset) => {
      result = native.readWhole(dir, name, buffer, offset, size, 1);
    });
    if (result === hasXattrs) {
      this.#draft.rewind(mark);
      return false;
    }
    if (result === notRegular || result === sizeDiffers) throw changed(path);
    this.#draft.endContent(size);
    return true;
  }

  #largeFile(path: BytePath, stat: ScannedEntry, dir: number): void {
    const fd = native.openBeneath(dir, stat.name, 0, 0);
    try {
      this.#header(path, 'file', stat, readXattrs(fd, '', isLayerXattr));
      if (this.#draft.copy(fd, 0, stat.size) !== stat.size) throw changed(path);
      this.#draft.endContent(stat.size);
    } finally {
      closeSync(fd);
    }
  }

  #header(path: BytePath, kind: EntryKind, stat: FileStat, xattrs: Xattrs, linkTarget?: BytePath): void {
    refuseReservedName(path);
    const isDevice = kind === 'char' || kind === 'block';
    const header: HeaderFields = {
      path,
      kind,
      mode: stat.mode,
      uid: stat.uid,
      gid: stat.gid,
      size: kind === 'file' ? stat.size : 0,
      mtime: stat.mtime,
      linkTarget,
      device: isDevice ? { major: stat.major, minor: stat.minor } : undefined,
      xattrs,
    };
    this.#draft.header(clamped(header, this.#latest));
  }
}

function leafKind(stat: FileStat): EntryKind {
  switch (stat.type) {
    case fileType.symlink:
      return 'symlink';
    case fileType.fifo:
      return 'fifo';
    case fileType.char:
      return 'char';
    default:
      return 'block';
  }
}

function changed(path: BytePath): TsbuildError {
  return new TsbuildError({
    code: 'layer-source-changed',
    message: `${shown(path)} changed while the step's changes were being packed`,
    hint: 'Run the command again; a process of the step must have survived it.',
  });
}
