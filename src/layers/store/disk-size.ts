/** How much of the disk a file or a folder takes. */
import { closeSync, constants, lstatSync, openSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { systemErrorCode, throwIfAborted } from '../../core/index.ts';
import { native } from '../native/addon.ts';
import { fileType, scanDirectory } from '../native/stat.ts';

const blockSize = 512;
/** Folders between two looks at the signal, and at the rest of the program. */
const turn = 32;

/** Bytes, as `du` counts them: a hardlinked file once. 0 for what is not there. */
export async function diskSize(path: string, signal: AbortSignal): Promise<number> {
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status === undefined) return 0;
  if (!status.isDirectory()) return status.blocks * blockSize;
  const linked = new Set<bigint>();
  let total = status.blocks * blockSize;
  let folders = 0;
  const walk = async (fd: number): Promise<void> => {
    folders += 1;
    if (folders % turn === 0) await nextTurn();
    throwIfAborted(signal);
    for (const entry of scanDirectory(fd)) {
      const isFolder = entry.type === fileType.directory;
      if (!isFolder && entry.links > 1) {
        if (linked.has(entry.inode)) continue;
        linked.add(entry.inode);
      }
      total += entry.blocks * blockSize;
      if (!isFolder) continue;
      await within(() => native.openBeneath(fd, entry.name, folderFlags, 0), walk);
    }
  };
  await within(() => openSync(path, folderFlags), walk);
  return total;
}

const folderFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** A folder that vanishes meanwhile, or may not be read, counts for nothing more. */
async function within(open: () => number, use: (fd: number) => Promise<void>): Promise<void> {
  let fd: number;
  try {
    fd = open();
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'EACCES' || code === 'ENOTDIR') return;
    throw error;
  }
  try {
    await use(fd);
  } finally {
    closeSync(fd);
  }
}
