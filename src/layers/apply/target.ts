/**
 * The directory a layer is unpacked into, in overlayfs form. Every operation goes through the descriptor of the
 * directory it happens in, which was opened beneath the root without following a symlink.
 * Invariant: what may not be done here (owners, devices, attributes) is noted and left out; everything else that fails throws.
 */
import { closeSync, constants, ftruncateSync, writeSync } from 'node:fs';
import { type BytePath, systemErrorCode } from '../../core/index.ts';
import { native } from '../native/addon.ts';
import { DirectoryHandles, openRoot } from '../native/directory-handles.ts';
import { recordOwner, recordsOwners } from '../native/recorded-owner.ts';
import { type FileStat, fileType, type ScannedEntry, scanDirectory, statAt } from '../native/stat.ts';
import { isLayerXattr, readXattrs } from '../native/xattrs.ts';
import { childPath } from '../tree/resolve-place.ts';
import type { OverlayXattrPrefix } from './lower-stack.ts';
import type { Notes } from './notes.ts';
import type { DirectoryMetadata } from './own-tree.ts';

export interface NodeMetadata {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: bigint;
  readonly xattrs?: ReadonlyMap<string, Uint8Array> | undefined;
}

export class Target {
  readonly #root: number;
  readonly #handles: DirectoryHandles;
  readonly #prefix: OverlayXattrPrefix;
  readonly #notes: Notes;
  readonly #recordsOwners = recordsOwners();
  #mayChown = true;
  #mayMakeWhiteouts = true;

  constructor(path: string, prefix: OverlayXattrPrefix, notes: Notes) {
    this.#root = openRoot(path);
    this.#handles = new DirectoryHandles(this.#root, 128);
    this.#prefix = prefix;
    this.#notes = notes;
  }

  close(): void {
    this.#handles.close();
    closeSync(this.#root);
  }

  /** What a name is; '' is the directory itself. */
  stat(directory: BytePath, name: string): FileStat | undefined {
    return statAt(this.#handles.fd(directory), name);
  }

  entries(directory: BytePath): readonly ScannedEntry[] {
    return scanDirectory(this.#handles.fd(directory));
  }

  /** Takes the attributes that belong to an image off a directory. */
  dropXattrs(path: BytePath): void {
    const fd = this.#handles.fd(path);
    for (const attribute of readXattrs(fd, '', isLayerXattr)?.keys() ?? []) native.removeXattr(fd, '', attribute);
  }

  makeDirectory(directory: BytePath, name: string): void {
    this.#mustBeNew(native.mkdirAt(this.#handles.fd(directory), name, 0o700));
  }

  /** A file whose whole content is at hand. */
  writeFile(directory: BytePath, name: string, content: Buffer, metadata: NodeMetadata): void {
    if (metadata.xattrs) {
      const fd = this.createFile(directory, name);
      try {
        this.writeAt(fd, content, 0);
        this.finishFile(fd, metadata, childPath(directory, name));
      } finally {
        closeSync(fd);
      }
      return;
    }
    const { mode, gid, mtime } = metadata;
    const dir = this.#handles.fd(directory);
    const write = (uid: number) => native.writeWhole(dir, name, content, 0, content.length, mode, uid, gid, mtime);
    try {
      this.#mustBeNew(write(this.#mayChown ? metadata.uid : -1));
      if (!this.#mayChown) this.#keepOwner(dir, name, metadata, childPath(directory, name));
    } catch (error) {
      if (!isChownRefusal(error)) throw error;
      this.#mayChown = false;
      native.unlinkAt(dir, name, 0);
      this.#mustBeNew(write(-1));
      this.#keepOwner(dir, name, metadata, childPath(directory, name));
    }
  }

  /** The caller writes, finishes and closes it. */
  createFile(directory: BytePath, name: string): number {
    const { O_WRONLY, O_CREAT, O_EXCL } = constants;
    return native.openBeneath(this.#handles.fd(directory), name, O_WRONLY | O_CREAT | O_EXCL, 0o600);
  }

  writeAt(fd: number, content: Buffer, position: number): void {
    for (let done = 0; done < content.length; ) {
      done += writeSync(fd, content, done, content.length - done, position + done);
    }
  }

  /** @param size makes a hole at the end up to it */
  finishFile(fd: number, metadata: NodeMetadata, shownPath: string, size?: number): void {
    if (size !== undefined) ftruncateSync(fd, size);
    this.#describe(fd, '', metadata, shownPath);
  }

  makeSymlink(directory: BytePath, name: string, text: string, metadata: NodeMetadata): void {
    const dir = this.#handles.fd(directory);
    this.#mustBeNew(native.symlinkAt(text, dir, name));
    const shownPath = childPath(directory, name);
    this.#chown(dir, name, metadata, shownPath);
    this.#setXattrs(dir, name, metadata.xattrs, shownPath);
    native.utimesAt(dir, name, metadata.mtime);
  }

  /** A FIFO or a device. */
  makeNode(
    directory: BytePath,
    name: string,
    kind: 'fifo' | 'char' | 'block',
    device: { readonly major: number; readonly minor: number },
    metadata: NodeMetadata,
  ): boolean {
    const dir = this.#handles.fd(directory);
    try {
      this.#mustBeNew(native.mknodAt(dir, name, fileType[kind] | 0o600, device.major, device.minor));
    } catch (error) {
      if (systemErrorCode(error) !== 'EPERM') throw error;
      this.#notes.add('devices', childPath(directory, name));
      return false;
    }
    this.#describe(dir, name, metadata, childPath(directory, name));
    return true;
  }

  makeHardlink(from: BytePath, fromName: string, directory: BytePath, name: string): void {
    const source = this.#handles.fd(from);
    this.#mustBeNew(native.linkAt(source, fromName, this.#handles.fd(directory), name));
  }

  remove(directory: BytePath, name: string, isDirectory: boolean): void {
    if (isDirectory) this.#handles.forget(childPath(directory, name) as BytePath);
    native.unlinkAt(this.#handles.fd(directory), name, isDirectory ? 1 : 0);
  }

  readlink(directory: BytePath, name: string): string {
    return native.readlinkAt(this.#handles.fd(directory), name);
  }

  finishDirectory(path: BytePath, metadata: DirectoryMetadata, opaque: boolean): void {
    const fd = this.#handles.fd(path);
    if (opaque) native.setXattr(fd, '', `${this.#prefix}overlay.opaque`, Buffer.from('y'));
    const { xattrs, ...rest } = metadata;
    this.#describe(fd, '', { ...rest, ...(xattrs && { xattrs }) }, path);
  }

  /**
   * Marks a name of the layers below as gone. A character device 0/0 may be made without privileges since Linux 5.8;
   * where a filter forbids it, an empty file with the whiteout attribute means the same (Linux 6.7) once its directory
   * is marked.
   */
  makeWhiteout(directory: BytePath, name: string): void {
    const dir = this.#handles.fd(directory);
    if (this.#mayMakeWhiteouts) {
      try {
        this.#mustBeNew(native.mknodAt(dir, name, fileType.char, 0, 0));
        return;
      } catch (error) {
        if (systemErrorCode(error) !== 'EPERM') throw error;
        this.#mayMakeWhiteouts = false;
      }
    }
    this.#mustBeNew(native.writeWhole(dir, name, Buffer.alloc(0), 0, 0, 0o600, -1, -1, 0n));
    native.setXattr(dir, name, `${this.#prefix}overlay.whiteout`, Buffer.from('y'));
    native.setXattr(dir, '', `${this.#prefix}overlay.opaque`, Buffer.from('x'));
  }

  sync(): void {
    native.syncFileSystem(this.#root);
  }

  /** chown first, for it clears setuid and capabilities; the time last, for all else may change it. */
  #describe(dir: number, name: string, metadata: NodeMetadata, shownPath: string): void {
    this.#chown(dir, name, metadata, shownPath);
    native.chmodAt(dir, name, metadata.mode);
    this.#setXattrs(dir, name, metadata.xattrs, shownPath);
    native.utimesAt(dir, name, metadata.mtime);
  }

  #chown(dir: number, name: string, metadata: NodeMetadata, shownPath: string): void {
    if (this.#mayChown) {
      try {
        native.chownAt(dir, name, metadata.uid, metadata.gid);
        return;
      } catch (error) {
        if (!isChownRefusal(error)) throw error;
        this.#mayChown = false;
      }
    }
    this.#keepOwner(dir, name, metadata, shownPath);
  }

  /** What this user makes is this user's: only other owners must be recorded. */
  #keepOwner(dir: number, name: string, { uid, gid }: NodeMetadata, shownPath: string): void {
    if (uid === process.geteuid?.() && gid === process.getegid?.()) return;
    if (!this.#recordsOwners || !recordOwner(dir, name, uid, gid)) this.#notes.add('owners', shownPath);
  }

  #setXattrs(dir: number, name: string, xattrs: ReadonlyMap<string, Uint8Array> | undefined, shownPath: string): void {
    for (const [attribute, value] of xattrs ?? []) {
      try {
        native.setXattr(dir, name, attribute, value);
      } catch (error) {
        const code = systemErrorCode(error) ?? '';
        if (!['EPERM', 'EOPNOTSUPP', 'EINVAL', 'EACCES'].includes(code)) throw error;
        this.#notes.add('xattrs', `${attribute} of ${shownPath}`);
      }
    }
  }

  #mustBeNew(made: boolean): void {
    if (!made) throw new Error('the name exists already; something else writes to this directory');
  }
}

/** EINVAL: an ID that has no mapping in this user namespace. */
function isChownRefusal(error: unknown): boolean {
  const code = systemErrorCode(error);
  const syscall = error instanceof Error && 'syscall' in error ? error.syscall : undefined;
  return (syscall === 'fchown' || syscall === 'fchownat') && (code === 'EPERM' || code === 'EINVAL');
}
