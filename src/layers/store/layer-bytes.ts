/**
 * The bytes of layers: fetched when they are needed, and in the form that is needed.
 * Invariants: several callers in one process share each fetch, decompression and index; a blob that turns out damaged is
 * dropped and fetched once more before anybody hears of it.
 */
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isTsbuildError, TsbuildError } from '../../core/index.ts';
import { type Compression, type Digest, digestHex, layerCompression } from '../../image/index.ts';
import type { ChainOptions, LayerRef } from '../types.ts';
import type { WorkerPool } from '../worker/pool.ts';
import type { Blobs } from './blobs.ts';
import { blobDamaged, blobMissing, storeFailure } from './failures.ts';
import type { Layout } from './layout.ts';
import type { PendingBlobs } from './pending-blobs.ts';
import type { Presence } from './presence.ts';
import { SharedWork } from './shared-work.ts';
import type { UsageMarks } from './usage-marks.ts';

export interface LayerBytesParts {
  readonly layout: Layout;
  readonly presence: Presence;
  readonly pending: PendingBlobs;
  readonly blobs: Blobs;
  readonly marks: UsageMarks;
  readonly pool: () => Promise<WorkerPool>;
  /** Makes a lost blob again from another form of the layer (restore-layer.ts). */
  readonly restore: (layer: LayerRef, signal: AbortSignal) => Promise<boolean>;
}

/** A file with the layer's bytes, ready to be read. */
export interface LayerFile {
  readonly blob: string;
  readonly compression: Compression;
}

export class LayerBytes {
  readonly #parts: LayerBytesParts;
  readonly #fetching = new SharedWork<void>();
  readonly #decompressing = new SharedWork<void>();
  readonly #indexing = new SharedWork<void>();
  readonly #restoring = new SharedWork<boolean>();

  constructor(parts: LayerBytesParts) {
    this.#parts = parts;
  }

  /** @throws TsbuildError `blob-missing` when `ensure` did not bring it, `blob-damaged` when it was here and bad */
  async fetch(layer: LayerRef, options: ChainOptions): Promise<void> {
    const { blobs } = this.#parts;
    const present = () => blobs.has(layer.diffId) || blobs.has(layer.blob.digest);
    if (present()) return;
    await this.#fetching.run(layer.blob.digest, options.signal, async (signal) => {
      if (await this.restore(layer, signal)) return;
      await options.ensure(layer, signal);
      if (present()) return;
      // What was dropped a moment ago was damaged: that is the news, not that it is gone.
      const wasDropped = blobs.dropped.includes(layer.blob.digest);
      throw wasDropped
        ? blobDamaged(layer.blob.digest, 'its bytes had another digest')
        : blobMissing(layer.blob.digest);
    });
  }

  /** Whether a blob that is not here could be made again from another form of the layer. */
  restore(layer: LayerRef, signal: AbortSignal): Promise<boolean> {
    return this.#restoring.run(layer.blob.digest, signal, (inner) => this.#parts.restore(layer, inner));
  }

  /** Runs `use` on the layer's file; when that finds it damaged, drops it, fetches it again and runs `use` once more. */
  async read<T>(layer: LayerRef, options: ChainOptions, use: (file: LayerFile) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      await this.fetch(layer, options);
      const { digest, compression } = await this.#best(layer);
      const path = this.#parts.blobs.path(digest);
      const inode = statSync(path, { throwIfNoEntry: false })?.ino;
      try {
        return await use({ blob: path, compression });
      } catch (error) {
        if (!(await this.#isDamaged(error, digest, options.signal)) || attempt > 2) throw error;
        this.#parts.blobs.drop(digest, inode);
      }
    }
  }

  /**
   * Makes the uncompressed form an ordinary blob, whose digest is the diff ID. One that is there is verified, once per
   * process: what is copied out of it are pieces that no digest covers.
   */
  async uncompressed(layer: LayerRef, options: ChainOptions): Promise<void> {
    const { blobs, pending } = this.#parts;
    await pending.finished(layer.diffId);
    if (!(await blobs.verify(layer.diffId, options.signal)) || !blobs.has(layer.diffId)) {
      await this.#decompressing.run(layer.diffId, options.signal, async (signal) => {
        await this.read(layer, { ...options, signal }, async (file) => {
          if (file.compression === 'uncompressed') return;
          const draft = blobs.draft();
          const pool = await this.#parts.pool();
          await pool.run('decompress', { ...file, draft, diffId: layer.diffId }, signal);
          blobs.adopt(draft, layer.diffId);
        });
      });
    }
    await pending.finished(layer.diffId);
  }

  /** Path of the layer's index in `cache/`, made when it is missing. */
  async index(layer: LayerRef, options: ChainOptions): Promise<string> {
    const path = layerIndexPath(this.#parts.layout, layer.diffId);
    if (this.#parts.marks.use(path)) return path;
    await this.#indexing.run(layer.diffId, options.signal, async (signal) => {
      await this.read(layer, { ...options, signal }, async (file) => {
        const draft = this.#parts.presence.draft();
        const pool = await this.#parts.pool();
        await pool.run('indexLayer', { ...file, diffId: layer.diffId, draft }, signal);
        try {
          this.#parts.marks.place(draft, path);
        } catch (error) {
          throw storeFailure(error, `cannot keep the index of ${layer.diffId}`);
        }
      });
    });
    return path;
  }

  dropIndex(diffId: Digest): void {
    rmSync(layerIndexPath(this.#parts.layout, diffId), { force: true });
  }

  async #best(layer: LayerRef): Promise<{ digest: Digest; compression: Compression }> {
    const { blobs, pending } = this.#parts;
    const plain = blobs.has(layer.diffId);
    const digest = plain ? layer.diffId : layer.blob.digest;
    await pending.finished(digest);
    const compression = plain ? 'uncompressed' : layerCompression(layer.blob.mediaType);
    if (compression !== undefined) return { digest, compression };
    throw new TsbuildError({
      code: 'layer-unsupported',
      message: `the layer ${layer.blob.digest} is of a type tsbuild cannot unpack: ${layer.blob.mediaType}`,
      hint: 'Use an image whose layers are tar files, plain or compressed with gzip or zstd.',
    });
  }

  /** Whatever a worker stumbled over: the blob is damaged if its own digest is wrong, not if its content is bad. */
  async #isDamaged(error: unknown, digest: Digest, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    if (isTsbuildError(error) && (error.code === 'cancelled' || error.code === 'store-full')) return false;
    return !(await this.#parts.blobs.isSound(digest, signal));
  }
}

export function layerIndexPath(layout: Layout, diffId: Digest): string {
  return join(layout.cache, 'layer-index', digestHex(diffId));
}
