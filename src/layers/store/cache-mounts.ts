/**
 * The directories behind cache mounts: `cache-mounts/<name>/data`. What a step writes there outlives it.
 * Invariants: one is complete when it has its name, so a kill while it is filled leaves nothing half filled; whoever was
 * given one has it until its process ends (usage-marks.ts).
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { storeFailure } from './failures.ts';
import { acquireLock } from './kernel-lock.ts';
import { removeTree } from './remove-tree.ts';
import { makeFolders, renameIfFree } from './snapshots.ts';
import type { StoreParts } from './store-parts.ts';

export interface CacheMountOptions {
  /** Puts into an empty directory what the mount begins with. */
  readonly fill: (folder: string) => Promise<void>;
  /** The lock under which the directory is replaced (root-copies.ts). */
  readonly lockFile: (folder: string) => string;
  readonly signal: AbortSignal;
}

export async function openCacheMount(parts: StoreParts, name: string, options: CacheMountOptions): Promise<string> {
  const folder = join(parts.layout.cacheMounts, name);
  const data = join(folder, 'data');
  while (!parts.marks.use(folder) || !exists(data)) {
    const draft = parts.presence.draft();
    makeFolders(draft, ['data']);
    await options.fill(join(draft, 'data'));
    using _lock = await acquireLock(options.lockFile(data), 'exclusive', options.signal);
    // One that is there by now began as this one does.
    if (exists(data) || !named(draft, folder)) await removeTree(draft);
  }
  return data;
}

function named(draft: string, folder: string): boolean {
  try {
    return renameIfFree(draft, folder);
  } catch (error) {
    throw storeFailure(error, `cannot keep the cache mount ${folder}`);
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
