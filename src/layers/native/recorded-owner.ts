/**
 * Owners of files where this user can give files to nobody: in a user namespace that maps one ID. There an attribute of
 * the file says whose it is; overlayfs copies it up with the file.
 * Invariant: the attribute never gets into a layer: what it says stands in the entry. Only files and directories can carry it.
 */
import { readFileSync } from 'node:fs';
import { systemErrorCode } from '../../core/index.ts';
import { native } from './addon.ts';
import { type FileStat, fileType } from './stat.ts';

const attribute = 'user.tsbuild.owner';

let records: boolean | undefined;

/** Whether this process is in a user namespace with one ID. */
export function recordsOwners(): boolean {
  // The map of a process is written once, before it begins.
  records ??= hasOneId();
  return records;
}

function hasOneId(): boolean {
  try {
    return /^\s*\d+\s+\d+\s+1\s*$/.test(readFileSync('/proc/self/uid_map', 'latin1'));
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return false;
  }
}

/** @returns false when the file system does not take it */
export function recordOwner(dir: number, name: string, uid: number, gid: number): boolean {
  try {
    native.setXattr(dir, name, attribute, Buffer.from(`${uid}:${gid}`));
    return true;
  } catch (error) {
    // EPERM: neither a file nor a directory.
    if (!['EPERM', 'EOPNOTSUPP', 'ENOSPC', 'EACCES'].includes(systemErrorCode(error) ?? '')) throw error;
    return false;
  }
}

/** The record with the owner the attribute names, when there is one. */
export function withRecordedOwner<T extends FileStat>(dir: number, name: string, stat: T): T {
  if (stat.type !== fileType.regular && stat.type !== fileType.directory) return stat;
  const text = native.getXattr(dir, name, attribute)?.toString('latin1');
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(text ?? '') ?? [];
  return uid === undefined || gid === undefined ? stat : { ...stat, uid: Number(uid), gid: Number(gid) };
}
