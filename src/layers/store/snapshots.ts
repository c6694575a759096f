/**
 * Unpacked layers in overlayfs form: `snapshots/<chain id>/fs`, with `boot` beside it; `snapshots/<chain id>.user` where
 * overlayfs keeps its marks under `user.` (overlay-xattrs.ts). `<chain id>.last16` is what the last 16 layers of a chain
 * are together, made where they are small (layer-runs.ts).
 *
 * A snapshot is not synced: it can be made again from its blobs, and writing hundreds of megabytes to the disk before the
 * next RUN may start would be the slowest part of a build. A killed process loses nothing of it; a power loss may. So
 * `boot` names the kernel's boot in which it was written, and a snapshot of an earlier boot is unpacked again. Its second
 * line is the diff ID of the layer.
 * Invariants: a snapshot is renamed into place when it is complete and is never written to again; a layer is unpacked on
 * top of the snapshots of all layers beneath it, so the lowest missing one comes first.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemErrorCode, throwIfAborted } from '../../core/index.ts';
import { chainIdOf, type Digest, digestHex, isDigest } from '../../image/index.ts';
import type { ChainOptions, LayerRef } from '../types.ts';
import type { MergedLayers } from '../worker/small-jobs.ts';
import { storeFailure } from './failures.ts';
import { namesIn } from './if-there.ts';
import { smallLayerRuns } from './layer-runs.ts';
import { type Layout, withFolderOf } from './layout.ts';
import type { Presence } from './presence.ts';
import { removeTree } from './remove-tree.ts';
import { SharedWork } from './shared-work.ts';
import { lockForRemoval, type UsageMarks } from './usage-marks.ts';

/** How many layers above the one being unpacked are fetched meanwhile. */
const fetchAhead = 3;

export interface SnapshotsParts {
  readonly layout: Layout;
  readonly presence: Presence;
  readonly marks: UsageMarks;
  /** Under which names overlayfs keeps its marks here: `trusted.` or `user.`. */
  readonly xattrPrefix: () => string;
  /** Makes sure the layer's bytes are here. */
  readonly fetch: (layer: LayerRef, options: ChainOptions) => Promise<void>;
  /** Unpacks one layer into the empty folder `target`. `lowers` highest first. */
  readonly unpack: (layer: LayerRef, target: string, lowers: readonly string[], options: ChainOptions) => Promise<void>;
  /** Merges layers; false when they hold more than a little. */
  readonly merge: (input: MergedLayers) => Promise<boolean>;
}

/** Of a chain, lowest first. */
interface Places {
  readonly chain: readonly LayerRef[];
  readonly ids: readonly Digest[];
  readonly folders: readonly string[];
}

export class Snapshots {
  readonly #parts: SnapshotsParts;
  readonly #unpacking = new SharedWork<void>();
  /** By the highest layer. */
  readonly #places = new WeakMap<LayerRef, Places>();
  /** Found before: looking at every layer again for every step would make each step slower than the one before it. */
  readonly #present = new Set<string>();
  /** Runs that hold more than their size says. */
  readonly #unmergeable = new Set<string>();
  /** When a name in the folder of snapshots last changed, as far as this process knows. */
  #lastChange = 0;
  #boot: string | undefined;

  constructor(parts: SnapshotsParts) {
    this.#parts = parts;
  }

  /**
   * The folders of a chain for overlayfs, highest first; what is missing is fetched and unpacked. They may be fewer than
   * the layers.
   */
  async lowers(chain: readonly LayerRef[], options: ChainOptions): Promise<readonly string[]> {
    if (this.#lastChange !== this.#changeTime()) this.#present.clear();
    this.#lastChange = this.#changeTime();
    const places = this.#placesOf(chain);
    await this.#unpackMissing(places, options);
    return this.#withMergedRuns(places);
  }

  async #unpackMissing({ chain, ids, folders }: Places, options: ChainOptions): Promise<void> {
    const present = ids.map((id) => this.has(id));
    if (!present.includes(false)) return;
    const stop = new AbortController();
    const signal = AbortSignal.any([options.signal, stop.signal]);
    const fetching = new Map<number, Promise<void>>();
    const startFetching = (from: number): void => {
      const missing = chain.flatMap((_, i) => (i >= from && !present[i] ? [i] : []));
      for (const i of missing.slice(0, 1 + fetchAhead)) {
        const layer = chain[i];
        if (layer === undefined || fetching.has(i)) continue;
        const fetched = this.#parts.fetch(layer, { ...options, signal });
        fetched.catch(() => {
          // Thrown below, when its turn comes; or the first failure is on its way already.
        });
        fetching.set(i, fetched);
      }
    };
    try {
      for (const [i, layer] of chain.entries()) {
        const id = ids[i];
        if (id === undefined || present[i]) continue;
        startFetching(i);
        await fetching.get(i);
        const lowers = folders.slice(0, i).reverse();
        await this.#unpacking.run(id, signal, (inner) => this.#make(id, layer, lowers, { ...options, signal: inner }));
      }
    } catch (error) {
      stop.abort(error);
      await Promise.allSettled(fetching.values());
      throw error;
    }
  }

  /** Highest first. */
  async #withMergedRuns({ chain, ids, folders }: Places): Promise<string[]> {
    const lowers: string[] = [];
    let next = 0;
    for (const run of smallLayerRuns(chain)) {
      lowers.push(...folders.slice(next, run.start));
      next = run.end;
      const apart = folders.slice(run.start, run.end);
      const [id, layer] = [ids[run.end - 1], chain[run.end - 1]];
      const merged = id && layer && (await this.#merged(id, layer, apart, lowers));
      lowers.push(...(merged ? [merged] : apart));
    }
    lowers.push(...folders.slice(next));
    return lowers.reverse();
  }

  /**
   * Folders, lowest first, as one; undefined when they hold more than is worth it.
   * @param id of the chain they top, `layer` being the highest
   */
  async #merged(
    id: Digest,
    layer: LayerRef,
    folders: readonly string[],
    beneath: readonly string[],
  ): Promise<string | undefined> {
    const name = this.#name(id, `.last${folders.length}`);
    if (this.#unmergeable.has(name)) return undefined;
    const isMade =
      this.#isThere(name) ||
      (await this.#place(name, layer.diffId, (target) =>
        this.#parts.merge({ lowers: folders.toReversed(), beneath: beneath.toReversed(), target }),
      ));
    if (isMade) return join(this.#parts.layout.snapshots, name, 'fs');
    this.#unmergeable.add(name);
    return undefined;
  }

  /** The chain of a step is mostly that of the one before and one layer more. */
  #placesOf(chain: readonly LayerRef[]): Places {
    const [below, top] = [chain.at(-2), chain.at(-1)];
    const known = below && this.#places.get(below);
    const startsWithKnown = known?.chain.length === chain.length - 1 && known.chain.every((one, i) => one === chain[i]);
    const beneath = startsWithKnown ? known : { ids: [], folders: [] };
    const ids = [...beneath.ids];
    for (const { diffId } of chain.slice(ids.length)) ids.push(chainIdOf(ids.at(-1), diffId));
    const { snapshots } = this.#parts.layout;
    const added = ids.slice(beneath.folders.length).map((id) => join(snapshots, this.#name(id), 'fs'));
    const places = { chain, ids, folders: [...beneath.folders, ...added] };
    if (top !== undefined) this.#places.set(top, places);
    return places;
  }

  /** Whether a complete snapshot of this boot is there; if so it stays until this process ends. */
  has(chainId: Digest): boolean {
    return this.#isThere(this.#name(chainId));
  }

  #isThere(name: string): boolean {
    if (this.#present.has(name)) return true;
    const folder = join(this.#parts.layout.snapshots, name);
    const isThere = readNote(folder)?.boot === this.#currentBoot() && this.#parts.marks.use(folder);
    if (isThere) this.#present.add(name);
    return isThere;
  }

  /**
   * Makes `draft`, a folder that holds `fs`, the snapshot of a chain ID, unless there is one: then it stays a draft.
   * @param diffId the layer it was unpacked from or amounts to: `prune` keeps it as long as it keeps that
   */
  async commit(draft: string, chainId: Digest, diffId: Digest | undefined): Promise<boolean> {
    return this.#commit(draft, this.#name(chainId), diffId);
  }

  async #commit(draft: string, name: string, diffId: Digest | undefined): Promise<boolean> {
    const folder = join(this.#parts.layout.snapshots, name);
    try {
      // One file, not two: making a file is what costs most here.
      writeFileSync(join(draft, 'boot'), `${this.#currentBoot()}\n${diffId ?? ''}\n`, { mode: 0o600 });
      for (let attempt = 0; !this.#isThere(name); attempt += 1) {
        const known = this.#lastChange === this.#changeTime();
        if (renameIfFree(draft, folder)) {
          // Written a moment ago, so `prune` leaves it as it leaves what is marked.
          this.#present.add(name);
          if (known) this.#lastChange = this.#changeTime();
          return true;
        }
        if (attempt === 100) throw new Error('its place is taken and given back again and again');
        await this.#removeStale(folder);
      }
    } catch (error) {
      throw storeFailure(error, `cannot keep the snapshot ${folder}`);
    }
    return false;
  }

  /**
   * Takes a snapshot of an earlier boot, or one half deleted by hand, out of the way. The lock: what stood there when we
   * looked may be replaced by a sound one before we move it, and that one is mounted already.
   */
  async #removeStale(folder: string): Promise<void> {
    const stale = this.#parts.presence.draft();
    {
      using _lock = lockForRemoval(this.#parts.layout, 'exclusive');
      if (readNote(folder)?.boot === this.#currentBoot() || !renameIfFree(folder, stale)) return;
    }
    await removeTree(stale);
  }

  async #make(id: Digest, layer: LayerRef, lowers: readonly string[], options: ChainOptions): Promise<void> {
    if (this.has(id)) return;
    await this.#place(this.#name(id), layer.diffId, async (target) => {
      await this.#parts.unpack(layer, target, lowers, options);
      throwIfAborted(options.signal);
      return true;
    });
  }

  /** @param fill makes the content; nothing is placed when it says false */
  async #place(name: string, diffId: Digest, fill: (target: string) => Promise<boolean>): Promise<boolean> {
    const draft = this.#parts.presence.draft();
    try {
      makeFolders(draft, ['fs']);
      const isFilled = await fill(join(draft, 'fs'));
      if (!isFilled || !(await this.#commit(draft, name, diffId))) await removeTree(draft);
      return isFilled;
    } catch (error) {
      await removeTree(draft);
      throw error;
    }
  }

  /** Zero while there is no such folder. */
  #changeTime(): number {
    return statSync(this.#parts.layout.snapshots, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  }

  /** One folder per form: the processes that use one may live beside those that use the other. */
  #name(chainId: Digest, run = ''): string {
    const suffix = this.#parts.xattrPrefix() === 'user.' ? '.user' : '';
    return `${digestHex(chainId)}${run}${suffix}`;
  }

  #currentBoot(): string {
    this.#boot ??= currentBoot();
    return this.#boot;
  }
}

/** Makes the folder of a draft with those in it. `fs` gets the mode of an image's root. */
export function makeFolders(draft: string, names: readonly string[]): void {
  try {
    withFolderOf(draft, () => mkdirSync(draft, { mode: 0o700 }));
    for (const name of names) {
      const path = join(draft, name);
      mkdirSync(path, { mode: 0o755 });
      // The umask took bits away.
      chmodSync(path, 0o755);
    }
  } catch (error) {
    throw storeFailure(error, `cannot write ${draft}`);
  }
}

/** False when something is in the place, or `from` has gone. */
export function renameIfFree(from: string, to: string): boolean {
  try {
    withFolderOf(to, () => renameSync(from, to));
    return true;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOENT') return false;
    throw error;
  }
}

/** What the file beside `fs` says; undefined when it is not there. */
function readNote(folder: string): { readonly boot: string; readonly diffId: Digest | undefined } | undefined {
  const path = join(folder, 'boot');
  try {
    // An exception takes longer than a look.
    if (statSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
    const [boot = '', diffId = ''] = readFileSync(path, 'utf8').split('\n');
    return { boot, diffId: isDigest(diffId) ? diffId : undefined };
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw storeFailure(error, `cannot read ${folder}`);
  }
}

/** The kernel's name for the time since it started; without /proc no snapshot outlives its process. */
function currentBoot(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return `${process.pid} ${Date.now()}`;
  }
}

export interface SnapshotFile {
  readonly path: string;
  /** Undefined when that is not known. */
  readonly diffId: Digest | undefined;
  readonly isOfThisBoot: boolean;
  /** Last use: milliseconds since 1970. */
  readonly used: number;
}

/** Every snapshot there is, sound or not. */
export function* snapshotFiles(layout: Layout): Generator<SnapshotFile> {
  const boot = currentBoot();
  for (const name of namesIn(layout.snapshots)) {
    const path = join(layout.snapshots, name);
    const status = statSync(path, { throwIfNoEntry: false });
    if (status === undefined) continue;
    const note = readNote(path);
    yield {
      path,
      diffId: note?.diffId,
      isOfThisBoot: note?.boot === boot,
      used: status.mtimeMs,
    };
  }
}
