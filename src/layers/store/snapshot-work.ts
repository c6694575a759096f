/**
 * A draft of a snapshot: the upper and work directories of one RUN, in a private folder of `ingest/`, on the file system
 * of the snapshots so that it can become one by a rename.
 */
import { rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemErrorCode } from '../../core/index.ts';
import type { Digest } from '../../image/index.ts';
import type { SnapshotDraft, WrittenLayer } from '../types.ts';
import { uncompressedLayer } from './layer-work.ts';
import { removeTree } from './remove-tree.ts';
import { makeFolders } from './snapshots.ts';
import type { StoreParts } from './store-parts.ts';

export class SnapshotWork implements SnapshotDraft {
  readonly upper: string;
  readonly work: string;
  readonly #folder: string;
  readonly #parts: StoreParts;
  #diffId: Digest | undefined;

  constructor(parts: StoreParts) {
    this.#parts = parts;
    this.#folder = parts.presence.draft();
    this.upper = join(this.#folder, 'fs');
    this.work = join(this.#folder, 'work');
    makeFolders(this.#folder, ['fs', 'work']);
  }

  async diff(options: {
    readonly signal: AbortSignal;
    readonly lowers: readonly string[];
    readonly latestMtime?: bigint;
  }): Promise<WrittenLayer> {
    const { signal, lowers, latestMtime } = options;
    const draft = this.#parts.presence.draft();
    const pool = await this.#parts.pool.get();
    const { diffId, size } = await pool.run(
      'diffUpper',
      {
        upper: this.upper,
        lowers,
        draft,
        ...(latestMtime !== undefined && { latestMtime }),
        xattrPrefix: this.#parts.xattrPrefix(),
      },
      signal,
    );
    this.#diffId = diffId;
    this.#parts.blobs.adopt(draft, diffId);
    return uncompressedLayer(diffId, size);
  }

  async commit(chainId: Digest): Promise<void> {
    if (!removedAsEmpty(this.work)) await removeTree(this.work);
    await this.#parts.snapshots.commit(this.#folder, chainId, this.#diffId);
  }

  async discard(): Promise<void> {
    await removeTree(this.#folder);
  }
}

/** What overlayfs leaves there is at most an empty folder in it; asking a thread to find out costs more than the rest. */
function removedAsEmpty(work: string): boolean {
  for (const path of [join(work, 'work'), join(work, 'index'), work]) {
    try {
      rmdirSync(path);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') return false;
    }
  }
  return true;
}
