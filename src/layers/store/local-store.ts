/**
 * The store of this machine: the `Store` of the contract, put together from its parts.
 * Invariant: an image gets a name only when all blobs put before are on the disk for good.
 */
import { TsbuildError } from '../../core/index.ts';
import {
  type Compression,
  type Descriptor,
  type Digest,
  describe,
  digestHex,
  digestOf,
  isDigest,
  layerCompression,
  oneChunk,
  type PutOptions,
  parseReference,
  type Reference,
} from '../../image/index.ts';
import type {
  ChainOptions,
  EntryContent,
  LayerEntry,
  LayerRef,
  ListOptions,
  RootCopy,
  SnapshotDraft,
  Store,
  StoredImage,
  Tree,
  WriteLayerOptions,
  WrittenLayer,
} from '../types.ts';
import type { CheckOptions, CheckResult } from './check.ts';
import { claimImage } from './claim-image.ts';
import { findImage } from './find-image.ts';
import { imageName } from './image-list.ts';
import { acquireLock, type KernelLock, type LockMode, tryLock } from './kernel-lock.ts';
import type { LayerWork } from './layer-work.ts';
import type { BlobRemoval, PruneOptions, PruneResult } from './prune.ts';
import type { RootCopies } from './root-copies.ts';
import { makeScaffold } from './scaffold.ts';
import { makeFolders } from './snapshots.ts';
import type { StoreParts } from './store-parts.ts';
import type { Usage } from './usage.ts';

export class LocalStore implements Store {
  readonly name = 'the local store';
  readonly root: string;
  readonly #parts: StoreParts;
  readonly #scaffolds = new Map<string, string>();
  #layers: Promise<LayerWork> | undefined;
  #roots: Promise<RootCopies> | undefined;

  constructor(parts: StoreParts) {
    this.#parts = parts;
    this.root = parts.layout.root;
  }

  blobPath(digest: Digest): string {
    return this.#parts.blobs.path(digest);
  }

  hasBlob(digest: Digest): boolean {
    return this.#parts.blobs.has(digest);
  }

  async has(descriptor: Descriptor, signal: AbortSignal = neverAborted()): Promise<boolean> {
    return await this.#parts.blobs.holds(descriptor, signal);
  }

  /** Blobs that this process knew to be here and that are not any more, in order: damaged ones, dropped. */
  get dropped(): readonly Digest[] {
    return this.#parts.blobs.dropped;
  }

  async open(descriptor: Descriptor, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    await this.#restoreBlob(descriptor, signal);
    return this.#parts.blobs.open(descriptor, signal);
  }

  async openPieces(descriptor: Descriptor, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    await this.#restoreBlob(descriptor, signal);
    return this.#parts.blobs.openPieces(descriptor, signal);
  }

  async #restoreBlob(descriptor: Descriptor, signal: AbortSignal): Promise<void> {
    if (layerCompression(descriptor.mediaType) === 'uncompressed' && !this.hasBlob(descriptor.digest)) {
      await this.restore({ diffId: descriptor.digest, blob: descriptor }, signal);
    }
  }

  async restore(layer: LayerRef, signal: AbortSignal): Promise<boolean> {
    return this.hasBlob(layer.blob.digest) || (await this.#parts.bytes.restore(layer, signal));
  }

  put(
    descriptor: Descriptor,
    open: (from?: number) => Promise<AsyncIterable<Uint8Array>>,
    options: PutOptions,
  ): Promise<'written' | 'exists'> {
    return this.#parts.blobs.put(descriptor, open, options);
  }

  async putBytes(mediaType: string, bytes: Uint8Array): Promise<Descriptor> {
    const descriptor = describe(mediaType, bytes);
    await this.put(descriptor, async () => oneChunk(bytes), { signal: neverAborted() });
    return descriptor;
  }

  putStream(mediaType: string, bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Descriptor> {
    return this.#parts.blobs.putStream(mediaType, bytes, signal);
  }

  temporaryFolder(): string {
    const folder = this.#parts.presence.draft();
    makeFolders(folder, []);
    return folder;
  }

  scaffold(paths: readonly string[]): string {
    const key = paths.join('\0');
    const folder = this.#scaffolds.get(key) ?? this.temporaryFolder();
    if (this.#scaffolds.has(key)) return folder;
    makeScaffold(folder, paths);
    this.#scaffolds.set(key, folder);
    return folder;
  }

  async images(): Promise<readonly StoredImage[]> {
    return this.#parts.images.images();
  }

  async findImage(nameOrId: string): Promise<StoredImage | undefined> {
    // A manifest put a moment ago may be asked for by its digest.
    if (isDigest(nameOrId)) await this.#parts.pending.finished(nameOrId);
    return findImage(this.#parts.images.images(), nameOrId, (digest) => this.blobPath(digest));
  }

  async resolve(reference: string, signal: AbortSignal = neverAborted()): Promise<Descriptor> {
    return (await this.useImage(reference, signal)).target;
  }

  /** Finds an image as `findImage` does and claims it. @throws TsbuildError `image-not-found`, `blob-missing` */
  async useImage(nameOrId: string, signal: AbortSignal): Promise<StoredImage> {
    for (let last: Digest | undefined; ; ) {
      const image = await this.findImage(nameOrId);
      if (image === undefined) throw imageNotFound(nameOrId);
      const { target, absent = [] } = image;
      // What a name stood for may be taken away as soon as the name stands for something else: then we look again.
      const isSame = target.digest === last;
      if (!isSame && !this.hasBlob(target.digest)) {
        last = target.digest;
        continue;
      }
      const lacking = await claimImage(this, target, signal);
      if (isSame || lacking.every((digest) => absent.includes(digest))) return image;
      last = target.digest;
    }
  }

  async claim(target: Descriptor, signal: AbortSignal): Promise<void> {
    await claimImage(this, target, signal);
  }

  async tagImage(target: Descriptor, name: Reference, options: ListOptions = {}): Promise<void> {
    await this.#list(target, imageName(name), options, neverAborted());
  }

  async tag(descriptor: Descriptor, reference: string, signal: AbortSignal): Promise<void> {
    await this.#list(descriptor, imageName(parseReference(reference)), {}, signal);
  }

  /** Lists an image that has no name, e.g. of a build without `-t`, unless it has one. */
  async listUnnamed(target: Descriptor, options: ListOptions = {}): Promise<void> {
    if (this.#parts.images.images().some((image) => image.target.digest === target.digest)) return;
    await this.#list(target, '', options, neverAborted());
  }

  async untagImage(name: Reference): Promise<boolean> {
    const wanted = imageName(name);
    return (await this.#parts.images.remove((image) => image.name === wanted, neverAborted())) > 0;
  }

  /** Takes an image off the list with all its names. Resolves to the names. */
  async unlistImage(target: Digest): Promise<readonly string[]> {
    const names = this.#parts.images.images().flatMap((i) => (i.target.digest === target && i.name ? [i.name] : []));
    await this.#parts.images.remove((image) => image.target.digest === target, neverAborted());
    return names;
  }

  async writeLayer(entries: Iterable<LayerEntry>, options: WriteLayerOptions): Promise<WrittenLayer> {
    return (await this.#layerWork()).write(entries, options);
  }

  async hashContents(contents: readonly EntryContent[], signal: AbortSignal): Promise<readonly Digest[]> {
    return (await this.#layerWork()).hashContents(contents, signal);
  }

  async tree(chain: readonly LayerRef[], options: ChainOptions): Promise<Tree> {
    return (await this.#layerWork()).tree(chain, options);
  }

  async compress(
    layer: LayerRef,
    compression: Compression,
    options: { readonly level?: number; readonly signal: AbortSignal; readonly ensure?: ChainOptions['ensure'] },
  ): Promise<Descriptor> {
    const { compressLayer } = await import('../compress/compress-layer.ts');
    return compressLayer(this.#parts, layer, compression, options);
  }

  lowers(chain: readonly LayerRef[], options: ChainOptions): Promise<readonly string[]> {
    return this.#parts.snapshots.lowers(chain, options);
  }

  async draft(below?: string): Promise<SnapshotDraft> {
    const { SnapshotWork } = await import('./snapshot-work.ts');
    const draft = new SnapshotWork(this.#parts);
    if (below !== undefined) draft.resemble(below);
    return draft;
  }

  async rootCopy(chain: readonly LayerRef[], options: ChainOptions): Promise<RootCopy> {
    this.#roots ??= this.#makeRoots();
    return (await this.#roots).open(chain, options);
  }

  /** A path for a temporary file on the store's disk. What is there when the store is closed is removed. */
  draftPath(): string {
    return this.#parts.presence.draft();
  }

  async record(room: string, key: string): Promise<unknown> {
    return this.#parts.records.get(room, key);
  }

  async putRecord(room: string, key: string, value: unknown): Promise<void> {
    this.#parts.records.put(room, key, value);
  }

  async lock(name: string, mode: LockMode, signal: AbortSignal): Promise<AsyncDisposable> {
    return disposable(await acquireLock(this.#lockFile(name), mode, signal));
  }

  async cacheMount(name: string, fill: (folder: string) => Promise<void>, signal: AbortSignal): Promise<string> {
    const { openCacheMount } = await import('./cache-mounts.ts');
    return openCacheMount(this.#parts, name, { fill, lockFile: (folder) => this.#replacing(folder), signal });
  }

  async layerOf(folder: string, signal: AbortSignal): Promise<WrittenLayer> {
    const { layerOfFolder } = await import('./folder-layer.ts');
    return layerOfFolder(this.#parts, { upper: folder, lowers: [] }, signal);
  }

  async tryLock(name: string, mode: LockMode): Promise<AsyncDisposable | undefined> {
    const lock = tryLock(this.#lockFile(name), mode);
    return lock && disposable(lock);
  }

  /** Frees what nobody needs. Beside running builds too. */
  async prune(options: PruneOptions): Promise<PruneResult> {
    const { prune } = await import('./prune.ts');
    return prune(this.#parts, options);
  }

  /** Removes one blob that nothing needs. */
  async removeBlob(digest: Digest, signal: AbortSignal): Promise<BlobRemoval> {
    const { removeBlob } = await import('./prune.ts');
    return removeBlob(this.#parts, digest, signal);
  }

  /** Verifies every blob and image; drops damaged blobs. */
  async check(options: CheckOptions): Promise<CheckResult> {
    const { check } = await import('./check.ts');
    return check(this.#parts, options);
  }

  /** What takes how much of the disk. */
  async usage(options: { readonly signal: AbortSignal }): Promise<Usage> {
    const { usage } = await import('./usage.ts');
    return usage(this.#parts, options);
  }

  async close(): Promise<void> {
    const { pool, smallJobs, hashThread } = this.#parts;
    await Promise.all([pool.close(), smallJobs.close(), hashThread.close()]);
    try {
      await this.#parts.pending.settle();
      await this.#parts.records.settle();
    } finally {
      await this.#parts.presence.leave();
    }
  }

  /** What a name stands for is safe, and safe from a prune in another process, before the name is written. */
  async #list(target: Descriptor, name: string, options: ListOptions, signal: AbortSignal): Promise<void> {
    await this.#parts.pending.settle();
    const lacking = await claimImage(this, target, signal);
    const absent = options.mayLackLayers ? lacking : [];
    await this.#parts.images.add({ target, name, absent }, signal);
  }

  /** Any text may name a lock, a cache mount's id for one; no text may name a file outside `locks/`. */
  #lockFile(name: string): string {
    return `${this.#parts.layout.locks}/by-name-${digestHex(digestOf(name))}`;
  }

  /** The lock under which a step's directory takes the place of the one it was copied from. */
  #replacing(folder: string): string {
    return this.#lockFile(`replacing ${folder}`);
  }

  async #makeRoots(): Promise<RootCopies> {
    const { RootCopies } = await import('./root-copies.ts');
    const layers = await this.#layerWork();
    return new RootCopies({
      parts: this.#parts,
      tree: (chain, options) => layers.tree(chain, options),
      hashContents: (contents, signal) => layers.hashContents(contents, signal),
      lockFile: (folder) => this.#replacing(folder),
    });
  }

  #layerWork(): Promise<LayerWork> {
    this.#layers ??= import('./layer-work.ts').then(({ LayerWork }) => new LayerWork(this.#parts));
    return this.#layers;
  }
}

function imageNotFound(reference: string): TsbuildError {
  return new TsbuildError({
    code: 'image-not-found',
    message: `the local store has no image ${/^[\w./:@-]+$/.test(reference) ? reference : JSON.stringify(reference)}`,
    hint: 'tsbuild images lists what there is; tsbuild pull fetches an image.',
  });
}

function disposable(lock: KernelLock): AsyncDisposable {
  return { [Symbol.asyncDispose]: async () => lock.release() };
}

function neverAborted(): AbortSignal {
  return new AbortController().signal;
}
