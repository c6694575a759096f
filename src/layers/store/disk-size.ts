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
  const walk = async (open: () => number): Promise<void> => {
    folders += 1;
    if (folders % turn === 0) await nextTurn();
    throwIfAborted(signal);
    const fd = unlessGone(open);
    if (fd === undefined) return;
    using _open = { [Symbol.dispose]: () => closeSync(fd) };
    // A folder removed after it was opened can no longer be listed.
    for (const entry of unlessGone(() => scanDirectory(fd)) ?? []) {
      const isFolder = entry.type === fileType.directory;
      if (!isFolder && entry.links > 1) {
        if (linked.has(entry.inode)) continue;
        linked.add(entry.inode);
      }
      total += entry.blocks * blockSize;
      if (!isFolder) continue;
      await walk(() => native.openBeneath(fd, entry.name, folderFlags, 0));
    }
  };
  await walk(() => openSync(path, folderFlags));
  return total;
}

const folderFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** What vanishes meanwhile, or may not be read, counts for nothing more. */
function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'EACCES' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}
