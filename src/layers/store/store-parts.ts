/** The parts a store is put together from; each file says what its part promises. Types only. */
import type { Digest } from '../../image/index.ts';
import type { HashThread } from '../worker/hash-thread.ts';
import type { WorkerPool } from '../worker/pool.ts';
import type { SmallJobs } from '../worker/small-jobs.ts';
import type { Blobs } from './blobs.ts';
import type { ImageList } from './image-list.ts';
import type { LayerBytes } from './layer-bytes.ts';
import type { Layout } from './layout.ts';
import type { Lazy } from './lazy.ts';
import type { XattrPrefix } from './overlay-xattrs.ts';
import type { PendingBlobs } from './pending-blobs.ts';
import type { Presence } from './presence.ts';
import type { Records } from './records.ts';
import type { SharedWork } from './shared-work.ts';
import type { Snapshots } from './snapshots.ts';
import type { UsageMarks } from './usage-marks.ts';

export interface StoreParts {
  readonly layout: Layout;
  readonly presence: Presence;
  readonly pending: PendingBlobs;
  readonly marks: UsageMarks;
  readonly blobs: Blobs;
  readonly bytes: LayerBytes;
  readonly snapshots: Snapshots;
  readonly images: ImageList;
  readonly records: Records;
  readonly compressing: SharedWork<Digest>;
  readonly xattrPrefix: () => XattrPrefix;
  /** Work directories of overlays that no step has at the moment. */
  readonly workFolders: string[];
  readonly smallJobs: Lazy<SmallJobs>;
  readonly hashThread: Lazy<HashThread>;
  readonly pool: Lazy<WorkerPool>;
}
