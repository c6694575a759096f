/**
 * Copies one entry of unpacked layers, anything but a directory, to a free name of a directory in overlayfs form.
 * Invariant: the copy shares nothing with the source.
 */
import { closeSync, readSync } from 'node:fs';
import type { BytePath } from '../../core/index.ts';
import { fileType } from '../native/stat.ts';
import { childPath } from '../tree/resolve-place.ts';
import type { LowerEntry, LowerStack } from './lower-stack.ts';
import type { NodeMetadata, Target } from './target.ts';

const pieceSize = 1024 * 1024;

/** @returns false for what was not made: a socket, which no layer holds, or a device this process may not make */
export function copyEntry(
  lowers: LowerStack,
  entry: LowerEntry,
  target: Target,
  directory: BytePath,
  name: string,
): boolean {
  const { stat } = entry;
  const xattrs = lowers.xattrs(entry);
  const metadata: NodeMetadata = { ...stat, ...(xattrs && { xattrs }) };
  switch (stat.type) {
    case fileType.symlink:
      target.makeSymlink(directory, name, lowers.readlink(entry), metadata);
      return true;
    case fileType.regular:
      copyFile(lowers, entry, target, directory, name, metadata);
      return true;
    case fileType.socket:
      return false;
    default: {
      const kind = stat.type === fileType.fifo ? 'fifo' : stat.type === fileType.char ? 'char' : 'block';
      return target.makeNode(directory, name, kind, stat, metadata);
    }
  }
}

function copyFile(
  lowers: LowerStack,
  entry: LowerEntry,
  target: Target,
  directory: BytePath,
  name: string,
  metadata: NodeMetadata,
): void {
  const from = lowers.open(entry);
  try {
    const to = target.createFile(directory, name);
    try {
      const buffer = Buffer.allocUnsafe(Math.min(pieceSize, Math.max(1, entry.stat.size)));
      for (let at = 0; ; ) {
        const count = readSync(from, buffer, 0, buffer.length, at);
        if (count === 0) break;
        target.writeAt(to, buffer.subarray(0, count), at);
        at += count;
      }
      target.finishFile(to, metadata, childPath(directory, name));
    } finally {
      closeSync(to);
    }
  } finally {
    closeSync(from);
  }
}
