/**
 * Jobs so small that the thread that wants them done does them: to ask a worker takes as long as most steps' changes
 * take to be packed, and to start one as long as a small build.
 * Invariant: none of them holds up the event loop for more than some milliseconds; what turns out to be more is left to
 * a worker, and nothing of it stays.
 */
import { closeSync, fstatSync, unlinkSync } from 'node:fs';
import { type MergeLowersInput, mergeLowers } from '../apply/merge-lowers.ts';
import { type DiffUpperInput, type DiffUpperOutput, diffUpper } from '../diff/diff-upper.ts';
import { openRoot } from '../native/directory-handles.ts';
import { OpenRoots } from '../native/open-roots.ts';
import { fileType } from '../native/stat.ts';
import { packEntries } from '../tree/entry-table.ts';
import type { LayerEntry } from '../types.ts';
import type { JobControl } from './job-control.ts';
import { draftBufferSize } from './layer-draft.ts';
import { type WriteLayerInput, type WriteLayerOutput, writeLayer } from './write-layer.ts';

const mostEntries = 64;
/** Bytes of content. */
const mostBytes = 256 * 1024;
/** Of several layers together. */
const mostMerged = 256;
const mostMergedBytes = 1024 * 1024;
/** Of a directory itself, bytes: it holds, or held, so many names that listing them takes its time. */
const largestDirectory = 16 * 1024;

/** Which layers, and where. */
export type MergedLayers = Pick<MergeLowersInput, 'lowers' | 'beneath' | 'target'>;

const uninterrupted: JobControl = { throwIfAborted() {} };

export class SmallJobs {
  readonly #roots = new OpenRoots();
  /** One job after another: to make it anew takes longer than most of them. */
  readonly #buffer = Buffer.allocUnsafe(draftBufferSize);

  /** @returns undefined when the step changed more than a little */
  diffUpper(input: DiffUpperInput): DiffUpperOutput | undefined {
    const allowance = new Allowance();
    try {
      if (rootSize(input.upper) > largestDirectory) return undefined;
      return diffUpper(input, uninterrupted, {
        eachEntry: (entry) => allowance.take(entry),
        kept: this.#roots,
        buffer: this.#buffer,
      });
    } catch (error) {
      if (!allowance.exceeded) throw error;
      unlinkSync(input.draft);
      return undefined;
    }
  }

  /** @returns undefined when there is more than a little to write */
  writeLayer(entries: readonly LayerEntry[], input: Omit<WriteLayerInput, 'entries'>): WriteLayerOutput | undefined {
    const bytes = entries.reduce((sum, { size }) => sum + size, 0);
    if (entries.length > mostEntries || bytes > mostBytes) return undefined;
    return writeLayer({ ...input, entries: packEntries(entries) }, uninterrupted, this.#buffer);
  }

  /** @returns false when the layers hold more than a little: the target then holds a part of it */
  mergeLowers(input: MergedLayers & Pick<MergeLowersInput, 'xattrPrefix'>): boolean {
    return mergeLowers({ ...input, most: { entries: mostMerged, bytes: mostMergedBytes } });
  }

  close(): void {
    this.#roots.close();
  }
}

class Allowance {
  exceeded = false;
  #entries = mostEntries;
  #bytes = mostBytes;

  take({ type, size }: { readonly type: number; readonly size: number }): void {
    this.#entries -= 1;
    if (type === fileType.regular) this.#bytes -= size;
    this.exceeded = this.#entries < 0 || this.#bytes < 0 || (type === fileType.directory && size > largestDirectory);
    if (this.exceeded) throw new Error('more than a small job');
  }
}

function rootSize(path: string): number {
  const root = openRoot(path);
  try {
    return fstatSync(root).size;
  } finally {
    closeSync(root);
  }
}
