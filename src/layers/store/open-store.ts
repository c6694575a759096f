/**
 * Opens a store. What the parts promise stands in their files; here they are joined.
 * Invariant: opening costs a few system calls. What only some commands need (the addon, workers, trees, compression) is
 * loaded when it is first used.
 */
import { Blobs } from './blobs.ts';
import { Downloads } from './downloads.ts';
import { ImageList } from './image-list.ts';
import { LayerBytes } from './layer-bytes.ts';
import { openLayout } from './layout.ts';
import { Lazy } from './lazy.ts';
import { LocalStore } from './local-store.ts';
import { type XattrPrefix, xattrPrefixOfThisProcess } from './overlay-xattrs.ts';
import { PendingBlobs } from './pending-blobs.ts';
import { Presence } from './presence.ts';
import { Records } from './records.ts';
import { SharedWork } from './shared-work.ts';
import { Snapshots } from './snapshots.ts';
import type { StoreParts } from './store-parts.ts';
import { UsageMarks } from './usage-marks.ts';

export interface StoreOptions {
  /** Worker threads. Default: one per core. */
  readonly workers?: number;
  /** How overlayfs is mounted here: `user.` with the mount option `userxattr`. Default: what this process may do. */
  readonly xattrPrefix?: XattrPrefix;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** What the store did of its own accord: sentences for the user. */
  readonly onNotice?: (sentence: string) => void;
}

/**
 * Opens the store in a folder, making it when there is none.
 * @throws TsbuildError `store-foreign-owner`, `store-not-a-layout`, `store-unwritable`
 */
export async function openStore(root: string, options: StoreOptions = {}): Promise<LocalStore> {
  const layout = openLayout(root);
  const presence = new Presence(layout);
  const marks = new UsageMarks(layout, presence);
  const pending = new PendingBlobs(() => marks.placing());
  const hashThread = new Lazy(async () => new (await import('../worker/hash-thread.ts')).HashThread());
  const blobs = new Blobs({ layout, presence, pending, marks, downloads: new Downloads(layout, presence, hashThread) });
  const pool = new Lazy(async () => (await import('../worker/pool.ts')).createWorkerPool(options.workers));
  const smallJobs = new Lazy(async () => new (await import('../worker/small-jobs.ts')).SmallJobs());
  const bytes = new LayerBytes({
    layout,
    presence,
    pending,
    blobs,
    marks,
    pool: () => pool.get(),
    restore: async (layer, signal) => {
      const { restoreLayer } = await import('./restore-layer.ts');
      const isRestored = await restoreLayer(parts, layer, signal);
      if (isRestored)
        options.onNotice?.(`the local store had lost ${layer.blob.digest}: made again from another form of it`);
      return isRestored;
    },
  });
  let xattrs = options.xattrPrefix;
  const xattrPrefix = (): XattrPrefix => {
    xattrs ??= xattrPrefixOfThisProcess();
    return xattrs;
  };
  const snapshots = new Snapshots({
    layout,
    presence,
    marks,
    xattrPrefix,
    fetch: (layer, chain) => bytes.fetch(layer, chain),
    unpack: (layer, target, lowers, chain) =>
      bytes.read(layer, chain, async (file) => {
        const workers = await pool.get();
        const job = { ...file, diffId: layer.diffId, target, lowers, xattrPrefix: xattrPrefix() };
        const { notes } = await workers.run('applyLayer', job, chain.signal);
        for (const note of notes) chain.onNote?.(note);
      }),
    merge: async (layers) => (await smallJobs.get()).mergeLowers({ ...layers, xattrPrefix: xattrPrefix() }),
  });
  const parts: StoreParts = {
    layout,
    presence,
    pending,
    marks,
    blobs,
    bytes,
    snapshots,
    pool,
    smallJobs,
    hashThread,
    workFolders: [],
    xattrPrefix,
    compressing: new SharedWork(),
    images: new ImageList(layout, presence, options.now ?? Date.now),
    records: new Records(layout, presence, pending),
  };
  return new LocalStore(parts);
}
