/**
 * A draft of a snapshot: the upper directory of one RUN, in a private folder of `ingest/`, on the file system of the
 * snapshots so that it can become one by a rename; and a work directory beside it, which serves one step after another.
 */
import { join } from 'node:path';
import type { Digest } from '../../image/index.ts';
import type { LayerForm, SnapshotDraft, WrittenLayer } from '../types.ts';
import { layerOfFolder } from './folder-layer.ts';
import { copyRoot } from './overlay-root.ts';
import { removeTree } from './remove-tree.ts';
import { makeFolders } from './snapshots.ts';
import type { StoreParts } from './store-parts.ts';

/** Milliseconds after which a step is thought to change more than a little: a worker starts while it still runs. */
const longStep = 100;

export class SnapshotWork implements SnapshotDraft {
  readonly upper: string;
  readonly work: string;
  readonly #folder: string;
  readonly #parts: StoreParts;
  readonly #warming: NodeJS.Timeout;
  #diffId: Digest | undefined;

  constructor(parts: StoreParts) {
    this.#parts = parts;
    this.#folder = parts.presence.draft();
    this.upper = join(this.#folder, 'fs');
    makeFolders(this.#folder, ['fs']);
    this.work = parts.workFolders.pop() ?? this.#makeWork();
    this.#warming = setTimeout(() => warmPool(parts), longStep).unref();
  }

  resemble(below: string): void {
    copyRoot(below, this.upper);
  }

  async diff(options: {
    readonly signal: AbortSignal;
    readonly lowers: readonly string[];
    readonly latestMtime?: bigint;
    readonly form?: LayerForm;
  }): Promise<WrittenLayer> {
    clearTimeout(this.#warming);
    const { signal, form, ...below } = options;
    const layer = await layerOfFolder(this.#parts, { upper: this.upper, ...below }, signal, form);
    this.#diffId = layer.diffId;
    return layer;
  }

  async commit(chainId: Digest): Promise<boolean> {
    const isPlaced = await this.#parts.snapshots.commit(this.#folder, chainId, this.#diffId);
    if (isPlaced) this.#parts.workFolders.push(this.work);
    return isPlaced;
  }

  async discard(): Promise<void> {
    clearTimeout(this.#warming);
    await removeTree(this.#folder);
    await removeTree(this.work);
  }

  #makeWork(): string {
    const folder = this.#parts.presence.draft();
    makeFolders(folder, []);
    return folder;
  }
}

function warmPool({ pool }: StoreParts): void {
  pool.get().then(
    (workers) => workers.warm(),
    // Who needs one hears why there is none.
    () => {},
  );
}
