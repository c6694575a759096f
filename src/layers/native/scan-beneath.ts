/**
 * Directories and files below a root by their path, for who holds no descriptors: each call opens what it needs and
 * closes it again.
 * Invariant: no component is followed when it is a symlink, also one that is put there meanwhile; paths have any length.
 */
import { closeSync, constants, fstatSync } from 'node:fs';
import type { BytePath } from '../../core/index.ts';
import { native } from './addon.ts';
import { openBeneath, openRoot } from './directory-handles.ts';
import { fileType } from './stat.ts';
import { readListing, type StatRecords, statRecord } from './stat-records.ts';

export interface ScannedDirectory {
  /** As the addon packs it. */
  readonly listing: Buffer;
  readonly records: StatRecords;
  /** Texts of the symlinks by name. */
  readonly links: ReadonlyMap<BytePath, BytePath>;
}

/** Throws Node-like errors: ENOENT, ENOTDIR, ELOOP (a symlink is in the way), EACCES, ... */
export function scanBeneath(root: string, path: BytePath): ScannedDirectory {
  return inDirectory(root, path, (fd) => {
    const listing = native.scanDirectory(fd);
    const records = readListing(listing);
    return { listing, records, links: readLinks(fd, linksIn(records)) };
  });
}

/** A directory of which somebody else has just made the listing. */
export function listedBeneath(root: string, path: BytePath, listing: Buffer): ScannedDirectory {
  const records = readListing(listing);
  const names = linksIn(records);
  const links = names.length === 0 ? noLinks : inDirectory(root, path, (fd) => readLinks(fd, names));
  return { listing, records, links };
}

/** What a path is; undefined when there is nothing. Throws as `scanBeneath`. */
export function statBeneath(root: string, path: BytePath): StatRecords | undefined {
  const slash = path.lastIndexOf('/');
  return inDirectory(root, path.slice(0, Math.max(0, slash)), (fd) => statRecord(fd, path.slice(slash + 1)));
}

/**
 * Descriptor of a regular file, for reading; the caller closes it. A FIFO is not waited for.
 * @returns undefined when the path is something else; throws Node-like errors, also ENXIO for a socket
 */
export function openFileBeneath(root: string, path: BytePath): number | undefined {
  return withRoot(root, (fd) => {
    const file = openBeneath(fd, path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    if (fstatSync(file).isFile()) return file;
    closeSync(file);
    return undefined;
  });
}

const noLinks: ScannedDirectory['links'] = new Map();

function linksIn(records: StatRecords): BytePath[] {
  return records.names.filter((_, entry) => (records.number(entry, 'mode') & fileType.mask) === fileType.symlink);
}

function readLinks(fd: number, names: readonly BytePath[]): ScannedDirectory['links'] {
  return new Map(names.map((name) => [name, native.readlinkAt(fd, name) as BytePath]));
}

function inDirectory<T>(root: string, path: string, task: (fd: number) => T): T {
  return withRoot(root, (rootFd) => {
    const fd = openBeneath(rootFd, path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      return task(fd);
    } finally {
      closeSync(fd);
    }
  });
}

function withRoot<T>(root: string, task: (fd: number) => T): T {
  const fd = openRoot(root);
  try {
    return task(fd);
  } finally {
    closeSync(fd);
  }
}
