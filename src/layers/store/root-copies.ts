/**
 * Plain copies of what chains make, for steps that run where nothing can be mounted. A copy is unpacked once for a stage
 * and goes from step to step: each step changes it into what the next one finds. Where two stages part, the second one
 * unpacks a copy of its own.
 * Invariants: a copy has one user at a time; what a failed step left is never used again; copies are drafts of this
 * process and go with it.
 */
import { chmodSync, lstatSync, mkdirSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BytePath, bytePathFromText, throwIfAborted } from '../../core/index.ts';
import type { Digest } from '../../image/index.ts';
import { withEarlyForm } from '../compress/early-form.ts';
import type { RootRecord } from '../diff/root-record.ts';
import type {
  ChainOptions,
  EntryContent,
  LayerForm,
  LayerRef,
  PlacedTree,
  RootCopy,
  Tree,
  WrittenLayer,
} from '../types.ts';
import { acquireLock } from './kernel-lock.ts';
import { uncompressedLayer } from './layer-work.ts';
import { PlacedTrees } from './placed-trees.ts';
import { removeTree } from './remove-tree.ts';
import { makeFolders } from './snapshots.ts';
import type { StoreParts } from './store-parts.ts';

export interface RootCopiesParts {
  readonly parts: StoreParts;
  readonly tree: (chain: readonly LayerRef[], options: ChainOptions) => Promise<Tree>;
  readonly hashContents: (contents: readonly EntryContent[], signal: AbortSignal) => Promise<readonly Digest[]>;
  /** Path of the lock that guards a folder against being replaced while it is copied. */
  readonly lockFile: (folder: string) => string;
}

/** A directory and the chain it is the tree of. */
interface Copy {
  readonly folder: string;
  chain: readonly LayerRef[];
  /** What it holds; undefined when that changed since it was looked at. */
  record: RootRecord | undefined;
}

export class RootCopies {
  readonly #parts: RootCopiesParts;
  readonly #idle: Copy[] = [];

  constructor(parts: RootCopiesParts) {
    this.#parts = parts;
  }

  /** A copy of what a chain makes, ready for a step. */
  async open(chain: readonly LayerRef[], options: ChainOptions): Promise<RootCopy> {
    const copy = this.#takeIdle(chain) ?? this.#make();
    try {
      const record = await this.#advance(copy, chain, options);
      await settle(copy.folder, record.youngest, options.signal);
      return new OpenRootCopy(this.#parts, copy, record, options, () => this.#idle.push(copy));
    } catch (error) {
      await removeTree(copy.folder);
      throw error;
    }
  }

  /** The one that needs the fewest layers more. */
  #takeIdle(chain: readonly LayerRef[]): Copy | undefined {
    const fits = this.#idle.filter((copy) => copy.chain.every(({ diffId }, i) => diffId === chain[i]?.diffId));
    const [best] = fits.sort((a, b) => b.chain.length - a.chain.length);
    if (best) this.#idle.splice(this.#idle.indexOf(best), 1);
    return best;
  }

  #make(): Copy {
    const folder = this.#parts.parts.presence.draft();
    makeFolders(folder, ['fs', 'beside']);
    // As an unpacked chain that does not describe its root.
    utimesSync(join(folder, 'fs'), 0, 0);
    return { folder, chain: [], record: undefined };
  }

  async #advance(copy: Copy, chain: readonly LayerRef[], options: ChainOptions): Promise<RootRecord> {
    const { bytes, pool } = this.#parts.parts;
    const workers = await pool.get();
    const target = join(copy.folder, 'fs');
    for (const layer of chain.slice(copy.chain.length)) {
      copy.record = undefined;
      await bytes.fetch(layer, options);
      await bytes.read(layer, options, async (file) => {
        const { notes } = await workers.run('applyPlain', { ...file, diffId: layer.diffId, target }, options.signal);
        for (const note of notes) options.onNote?.(note);
      });
    }
    copy.chain = chain;
    copy.record ??= (await workers.run('recordRoot', { root: target }, options.signal)).record;
    return copy.record;
  }
}

/**
 * Returns when the file system's clock has passed the youngest change, so that any later one shows: times are kept in
 * steps of some milliseconds, on some file systems of a second.
 */
async function settle(folder: string, youngest: bigint, signal: AbortSignal): Promise<void> {
  const probe = join(folder, 'probe');
  for (let attempt = 0; attempt < 1000; attempt++) {
    throwIfAborted(signal);
    writeFileSync(probe, String(attempt));
    if (statSync(probe, { bigint: true }).ctimeNs > youngest) return;
    await sleep(2);
  }
}

class OpenRootCopy implements RootCopy {
  readonly path: string;
  readonly #parts: RootCopiesParts;
  readonly #copy: Copy;
  readonly #record: RootRecord;
  readonly #options: ChainOptions;
  readonly #giveBack: () => void;
  readonly #beside: string;
  readonly #placed: PlacedTrees;
  readonly #keeping: { readonly taken: string; readonly folder: string }[] = [];
  #count = 0;
  #kept = false;

  constructor(parts: RootCopiesParts, copy: Copy, record: RootRecord, options: ChainOptions, giveBack: () => void) {
    this.#parts = parts;
    this.#copy = copy;
    this.#record = record;
    this.#options = options;
    this.#giveBack = giveBack;
    this.path = join(copy.folder, 'fs');
    this.#beside = join(copy.folder, 'beside');
    this.#placed = new PlacedTrees(this.path, this.#beside);
  }

  async place(target: string, tree: PlacedTree): Promise<void> {
    const name = `tree-${this.#count++}`;
    if (tree.kind === 'empty') {
      mkdirSync(join(this.#beside, name));
      chmodSync(join(this.#beside, name), tree.mode);
    } else {
      const kept = tree.kind === 'folder' && tree.keep ? this.#parts.lockFile(tree.folder) : undefined;
      const lock = kept === undefined ? undefined : await acquireLock(kept, 'shared', this.#options.signal);
      try {
        await this.#copyIn(tree, name);
      } finally {
        lock?.release();
      }
    }
    const taken = this.#placed.place(name, bytePathFromText(target.replace(/^\/+/, '')));
    if (tree.kind === 'folder' && tree.keep) this.#keeping.push({ taken, folder: tree.folder });
  }

  async diff(options: { signal: AbortSignal; latestMtime?: bigint; form?: LayerForm }): Promise<WrittenLayer> {
    const { signal, latestMtime, form } = options;
    await this.#takeAway();
    const { pool, presence, blobs } = this.#parts.parts;
    const workers = await pool.get();
    const draft = presence.draft();
    const job = { root: this.path, record: this.#record, draft, ...(latestMtime !== undefined && { latestMtime }) };
    const result = await withEarlyForm(this.#parts.parts, { draft, form, signal }, async (onWritten) => {
      const first = await workers.run('diffRoot', job, signal, onWritten);
      if (first.kind === 'layer') return first;
      const unchanged = await this.#equalContents(first.paths, signal);
      const second = await workers.run('diffRoot', { ...job, unchanged }, signal, onWritten);
      if (second.kind === 'undecided') throw new RangeError('a decided comparison is undecided');
      return second;
    });
    this.#copy.record = result.record;
    blobs.adopt(draft, result.diffId);
    return uncompressedLayer(result.diffId, result.size);
  }

  keep(layer: LayerRef): void {
    this.#copy.chain = [...this.#copy.chain, layer];
    this.#kept = true;
    this.#giveBack();
  }

  async release(): Promise<void> {
    // A copy that was kept has been tidied up, and may have its next user by now.
    try {
      if (!this.#kept) await this.#takeAway();
    } finally {
      this.#placed.close();
      if (!this.#kept) await removeTree(this.#copy.folder);
    }
  }

  async #copyIn(tree: Extract<PlacedTree, { kind: 'folder' | 'layers' }>, name: string): Promise<void> {
    const workers = await this.#parts.parts.pool.get();
    const input = {
      lowers: tree.kind === 'folder' ? [tree.folder] : tree.lowers,
      source: bytePathFromText(tree.source),
      xattrPrefix: this.#parts.parts.xattrPrefix(),
      into: this.#beside,
      name,
    };
    const { notes } = await workers.run('copyMerged', input, this.#options.signal);
    for (const note of notes) this.#options.onNote?.(note);
  }

  /** The step's trees leave the root; those that are kept take the place of what they were copied from. */
  async #takeAway(): Promise<void> {
    this.#placed.takeAway();
    for (const { taken, folder } of this.#keeping.splice(0)) {
      const path = join(this.#beside, taken);
      // A link the step put there would make a directory of the host the cache, and show it to the next step.
      if (!lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) continue;
      const lock = await acquireLock(this.#parts.lockFile(folder), 'exclusive', new AbortController().signal);
      try {
        renameSync(folder, `${path}-old`);
        renameSync(path, folder);
      } finally {
        lock.release();
      }
    }
    await removeTree(this.#beside);
    makeFolders(this.#beside, []);
  }

  /** Which of some files of the root have the content that the layers beneath the step say. */
  async #equalContents(paths: readonly BytePath[], signal: AbortSignal): Promise<string[]> {
    const tree = await this.#parts.tree(this.#copy.chain, { ...this.#options, signal });
    const pairs = paths.flatMap((path) => {
      const content = tree.lookup(path)?.content;
      return content ? [{ path, content }] : [];
    });
    const [then, now] = await Promise.all([
      this.#parts.hashContents(
        pairs.map(({ content }) => content),
        signal,
      ),
      this.#parts.hashContents(
        pairs.map(({ path }) => ({ kind: 'file', root: this.path, path })),
        signal,
      ),
    ]);
    return pairs.flatMap(({ path }, i) => (then[i] !== undefined && then[i] === now[i] ? [path] : []));
  }
}
