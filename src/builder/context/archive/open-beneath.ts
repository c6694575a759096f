/**
 * Opens a regular file below a folder, component by component through `/proc/self/fd`, so that no symlink in between is
 * followed even when someone swaps one in while it happens. A FIFO or device is never opened for reading.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { bytePathForFs } from '../../../core/index.ts';

/** Linux's O_PATH, which Node does not name. */
const pathOnly = 0o10000000;

/** @returns a descriptor the caller closes; throws Node's system errors, ENOENT also for what is no regular file */
export function openFileBeneath(root: string, path: string): number {
  const components = path.split('/');
  const name = components.pop() ?? '';
  let folder = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for (const component of components) {
      const next = openSync(
        bytePathForFs(`/proc/self/fd/${folder}/${component}`),
        pathOnly | constants.O_DIRECTORY | constants.O_NOFOLLOW,
      );
      closeSync(folder);
      folder = next;
    }
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const file = openSync(bytePathForFs(`/proc/self/fd/${folder}/${name}`), flags);
    if (fstatSync(file).isFile()) return file;
    closeSync(file);
    throw Object.assign(new Error(`${path} is no regular file`), { code: 'ENOENT' });
  } finally {
    closeSync(folder);
  }
}
