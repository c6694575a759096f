/**
 * The root directory of an overlay is its upper directory's: mode, owner, times and extended attributes. Copied from the
 * layer below, a step sees `/` as the image has it.
 */
import { closeSync } from 'node:fs';
import { systemErrorCode } from '../../core/index.ts';
import { native } from '../native/addon.ts';
import { openRoot } from '../native/directory-handles.ts';
import { statAt } from '../native/stat.ts';
import { isLayerXattr, readXattrs } from '../native/xattrs.ts';
import { storeFailure } from './failures.ts';

/** @param below a directory with the look of a root; `upper` gets it */
export function copyRoot(below: string, upper: string): void {
  const open: number[] = [];
  try {
    const from = openRoot(below);
    open.push(from);
    const to = openRoot(upper);
    open.push(to);
    const [wanted, present] = [statAt(from, ''), statAt(to, '')];
    if (wanted === undefined || present === undefined) return;
    if (wanted.uid !== present.uid || wanted.gid !== present.gid) native.chownAt(to, '', wanted.uid, wanted.gid);
    if (wanted.mode !== present.mode) native.chmodAt(to, '', wanted.mode);
    for (const [name, value] of readXattrs(from, '', isLayerXattr) ?? []) setXattr(to, name, value);
    native.utimesAt(to, '', wanted.mtime);
  } catch (error) {
    throw storeFailure(error, `cannot make ${upper} like ${below}`);
  } finally {
    for (const fd of open) closeSync(fd);
  }
}

/** What this process may not set it could not set when it unpacked the layer either, and said so then. */
function setXattr(fd: number, name: string, value: Uint8Array): void {
  try {
    native.setXattr(fd, '', name, value);
  } catch (error) {
    if (!['EPERM', 'EOPNOTSUPP', 'ENOTSUP'].includes(systemErrorCode(error) ?? '')) throw error;
  }
}
