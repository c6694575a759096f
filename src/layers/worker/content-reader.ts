/**
 * Opens the contents of layer entries: files below a root, ranges of tsbuild's own files, bytes at hand.
 * Invariant: a file is opened beneath its root, through no symlink, and only when it is regular and has the size that
 * was promised: a FIFO, a device or a file that is being written to is an error that names it, never a hang and never
 * a torn content.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { bytePathToText, systemErrorCode, TsbuildError } from '../../core/index.ts';
import { native, notRegular, sizeDiffers } from '../native/addon.ts';
import { openBeneath, openRoot } from '../native/directory-handles.ts';
import { shown } from '../tar/tar-errors.ts';
import type { EntryContent } from '../types.ts';
import { layerFailure } from './system-error.ts';

type FileContent = Extract<EntryContent, { kind: 'file' }>;

const keptRoots = 32;
/** One openat2 takes no more. */
const longestPath = 4000;

export class ContentReader {
  readonly #roots = new Map<string, number>();
  readonly #files = new Map<string, number>();

  /** Descriptor of a directory that contents lie in; kept open. */
  root(path: string): number {
    return this.#kept(this.#roots, path, () => openRoot(path));
  }

  /** Descriptor of a file that ranges lie in; kept open. */
  file(path: string): number {
    return this.#kept(this.#files, path, () => openSync(path, 'r'));
  }

  /** Reads a small file whole into a buffer. @throws TsbuildError `layer-source-*` */
  readSmall(content: FileContent, buffer: Buffer, offset: number, size: number): void {
    if (content.path.length > longestPath) return this.#readSmallFar(content, buffer, offset, size);
    const result = this.#reading(content, () =>
      native.readWhole(this.root(content.root), content.path, buffer, offset, size, 0),
    );
    if (result === notRegular) throw changed(content, 'is no regular file');
    if (result === sizeDiffers) throw changed(content, `does not have the ${size} bytes it had before`);
  }

  /** Opens a file; the caller closes it and calls `verifyUnchanged` after reading. @throws TsbuildError `layer-source-*` */
  open(content: FileContent, size?: number): number {
    const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
    const fd = this.#reading(content, () => openBeneath(this.root(content.root), content.path, flags));
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) throw changed(content, 'is no regular file');
      if (size !== undefined && stat.size !== size) {
        throw changed(content, `does not have the ${size} bytes it had before`);
      }
      return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** @throws TsbuildError `layer-source-changed` when the file is longer or shorter than what was read of it */
  verifyUnchanged(content: FileContent, fd: number, size: number, read: number): void {
    if (read !== size || fstatSync(fd).size !== size) throw changed(content, 'changed its size while it was read');
  }

  close(): void {
    for (const fd of [...this.#roots.values(), ...this.#files.values()]) closeSync(fd);
    this.#roots.clear();
    this.#files.clear();
  }

  #readSmallFar(content: FileContent, buffer: Buffer, offset: number, size: number): void {
    const fd = this.open(content, size);
    try {
      let done = 0;
      for (let count = 1; count > 0 && done < size; done += count) {
        count = readSync(fd, buffer, offset + done, size - done, done);
      }
      this.verifyUnchanged(content, fd, size, done);
    } finally {
      closeSync(fd);
    }
  }

  #kept(open: Map<string, number>, path: string, make: () => number): number {
    const known = open.get(path);
    if (known !== undefined) return known;
    if (open.size >= keptRoots) {
      for (const fd of open.values()) closeSync(fd);
      open.clear();
    }
    try {
      const fd = make();
      open.set(path, fd);
      return fd;
    } catch (error) {
      throw layerFailure(error, `opening ${path}`, 'layer-source-unreadable');
    }
  }

  #reading<T>(content: FileContent, task: () => T): T {
    try {
      return task();
    } catch (error) {
      const code = systemErrorCode(error) ?? '';
      if (code === 'ENOENT' || code === 'ENOTDIR') throw changed(content, 'is gone');
      // ENXIO: a socket or a device without a driver; ELOOP: a symlink.
      if (code === 'ENXIO' || code === 'ELOOP') throw changed(content, 'is no regular file');
      throw layerFailure(error, `reading ${shown(content.path)}`, 'layer-source-unreadable');
    }
  }
}

function changed(content: FileContent, how: string): TsbuildError {
  return new TsbuildError({
    code: 'layer-source-changed',
    message: `${content.root}/${bytePathToText(content.path)} ${how}`,
    hint: 'Run the command again when nothing writes to these files.',
  });
}
