/**
 * Where everything lies in a store's root, and what makes a folder one: an OCI image layout (image-layout.md) with
 * tsbuild's own folders beside it.
 * Invariant: the root belongs to the user who runs tsbuild and nobody else can write there, so no name below it was
 * planted by another user (security.md 25).
 */
import {
  closeSync,
  fdatasyncSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  type Stats,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { makeDirectories, systemErrorCode, TsbuildError } from '../../core/index.ts';
import { type Digest, digestAlgorithm, digestHex, mediaTypes } from '../../image/index.ts';
import { storeFailure } from './failures.ts';

export interface Layout {
  readonly root: string;
  /** `oci-layout`: the file that says what this folder is. Written last. */
  readonly marker: string;
  readonly index: string;
  readonly blobs: string;
  /** Records and layer indexes, one folder per room. */
  readonly cache: string;
  readonly snapshots: string;
  readonly cacheMounts: string;
  /** Drafts, one folder per process. */
  readonly ingest: string;
  /** Blobs that have arrived in part, for whoever goes on with them (downloads.ts). */
  readonly downloads: string;
  readonly locks: string;
}

export function layoutOf(root: string): Layout {
  return {
    root,
    marker: join(root, 'oci-layout'),
    index: join(root, 'index.json'),
    blobs: join(root, 'blobs'),
    cache: join(root, 'cache'),
    snapshots: join(root, 'snapshots'),
    cacheMounts: join(root, 'cache-mounts'),
    ingest: join(root, 'ingest'),
    downloads: join(root, 'downloads'),
    locks: join(root, 'locks'),
  };
}

export function blobPathIn(layout: Layout, digest: Digest): string {
  return join(layout.blobs, digestAlgorithm(digest), digestHex(digest));
}

/**
 * Opens a store's folder, making it when there is none: a handful of system calls.
 * @throws TsbuildError `store-foreign-owner`, `store-not-a-layout`, `store-unwritable`
 */
export function openLayout(root: string): Layout {
  const layout = layoutOf(root);
  let status = statSync(root, { throwIfNoEntry: false });
  if (status === undefined) {
    makeFolder(root);
    status = statSync(root);
  }
  if (!status.isDirectory()) throw notALayout(root, 'it is no folder');
  refuseForeign(root, status);
  let marker: string;
  try {
    marker = readFileSync(layout.marker, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw storeFailure(error, `cannot open the store ${root}`);
    initialise(layout);
    return layout;
  }
  if (!/"imageLayoutVersion"\s*:\s*"1\./.test(marker)) throw notALayout(root, 'its oci-layout file is of no version 1');
  return layout;
}

/** Makes a folder and what is missing above it, for the owner only. One that exists stays as it is. */
export function makeFolder(path: string): void {
  try {
    makeDirectories(path, 0o700);
  } catch (error) {
    throw storeFailure(error, `cannot make ${path}`);
  }
}

/** Runs what needs the folder of `path`; when somebody removed the folder, makes it and runs again. */
export function withFolderOf<T>(path: string, action: () => T): T {
  for (let removals = 0; ; removals += 1) {
    try {
      return action();
    } catch (error) {
      // One process after another may find it empty, and take it for nobody's.
      if (systemErrorCode(error) !== 'ENOENT' || removals === mostRemovals) throw error;
      makeFolder(dirname(path));
    }
  }
}

const mostRemovals = 10;

/** What a user namespace says of an owner who is not in it (user_namespaces(7)), where our own number is 0, too. */
const overflowId = 65_534;

function refuseForeign(root: string, { uid: owner, gid, mode }: Stats): void {
  const self = process.geteuid?.() ?? owner;
  if (owner !== self) {
    throw new TsbuildError({
      code: 'store-foreign-owner',
      message: `the store ${root} belongs to ${owner === overflowId ? 'another user' : `user ${owner}, tsbuild runs as user ${self}`}`,
      hint: 'Name a store of your own with TSBUILD_HOME, or run tsbuild as its owner.',
    });
  }
  // The user's own group is usually theirs alone, and an umask of 002 then gives it every folder.
  const byGroup = (mode & 0o020) !== 0 && gid !== process.getegid?.();
  if (byGroup || (mode & 0o002) !== 0) {
    throw new TsbuildError({
      code: 'store-foreign-owner',
      message: `${byGroup ? `the users of group ${gid}` : 'every user'} may write to the store ${root}, so nothing in it can be trusted`,
      hint: `Run: chmod go-w ${root}, or name another folder with TSBUILD_HOME.`,
    });
  }
}

function initialise(layout: Layout): void {
  const own = new Set([
    'oci-layout',
    'index.json',
    'blobs',
    'cache',
    'snapshots',
    'cache-mounts',
    'ingest',
    'downloads',
    'locks',
    'logs',
  ]);
  const stranger = readdirSync(layout.root).find((name) => !own.has(name) && name !== 'lost+found');
  if (stranger !== undefined)
    throw notALayout(layout.root, `it holds ${JSON.stringify(stranger)} and no oci-layout file`);
  for (const folder of [layout.cache, layout.snapshots, layout.cacheMounts, layout.ingest, layout.locks]) {
    makeFolder(folder);
  }
  makeFolder(join(layout.blobs, 'sha256'));
  const emptyIndex = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] });
  writeOnce(layout, layout.index, emptyIndex);
  writeOnce(layout, layout.marker, '{"imageLayoutVersion":"1.0.0"}');
}

/**
 * Never over an existing file: another process may have initialised the store, and tagged an image, since we looked.
 * The sync is against power loss: an empty marker or index under its final name would make the store unreadable.
 */
function writeOnce(layout: Layout, path: string, text: string): void {
  const draft = join(layout.ingest, `.init-${process.pid}-${process.hrtime.bigint()}`);
  try {
    const fd = openSync(draft, 'wx', 0o600);
    try {
      writeFileSync(fd, text);
      fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
    linkSync(draft, path);
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw storeFailure(error, `cannot write ${path}`);
  }
  unlinkSync(draft);
}

function notALayout(root: string, why: string): TsbuildError {
  return new TsbuildError({
    code: 'store-not-a-layout',
    message: `${root} is not a store: ${why}`,
    hint: 'Name an empty folder, or one that does not exist yet, with TSBUILD_HOME.',
  });
}
