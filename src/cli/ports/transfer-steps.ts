/** Transfers of an image as one step of the progress, from the first blob that moves to the last. */
import { type EventSink, isTsbuildError } from '../../core/index.ts';
import type { BlobProgress, Digest } from '../../image/index.ts';

export interface TransferStep {
  /** For `copyGraph`. What was there before is not told. */
  readonly onBlob: (progress: BlobProgress) => void;
  readonly end: (outcome: 'done' | 'failed' | 'cancelled') => void;
}

/** Starts a step such as `pushing ghcr.io/me/app:1`. */
export function startTransferStep(events: EventSink, now: () => number, id: string, title: string): TransferStep {
  const started = now();
  const announced = new Set<Digest>();
  events({ kind: 'step-started', step: { id, title } });
  return {
    onBlob: ({ descriptor, state, done }) => {
      if (state === 'exists' && !announced.has(descriptor.digest)) return;
      announced.add(descriptor.digest);
      const total = descriptor.size;
      const isThere = state === 'written' || state === 'mounted' || state === 'exists';
      // The last report of a transfer is the one that says it was written: verified, not merely sent.
      events({
        kind: 'transfer',
        id,
        item: descriptor.digest,
        done: isThere ? total : Math.min(done, Math.max(0, total - 1)),
        total,
      });
    },
    end: (outcome) => events({ kind: 'step-finished', id, outcome, milliseconds: now() - started }),
  };
}

/** Does the work of a step and ends it as the work ended. */
export async function whileStep<T>(step: TransferStep, work: () => Promise<T>): Promise<T> {
  try {
    const result = await work();
    step.end('done');
    return result;
  } catch (error) {
    step.end(isStop(error) ? 'cancelled' : 'failed');
    throw error;
  }
}

function isStop(error: unknown): boolean {
  return isTsbuildError(error) && (error.code === 'cancelled' || error.code === 'interrupted');
}

/** The fetches of one image that are under way. */
interface FetchGroup {
  readonly step: TransferStep;
  running: number;
  outcome: 'done' | 'failed' | 'cancelled';
}

/**
 * Fetches of single blobs, grouped by the image they belong to: a step lasts as long as any fetch of its image does.
 */
export class FetchSteps {
  readonly #events: EventSink;
  readonly #now: () => number;
  readonly #open = new Map<string, FetchGroup>();
  #count = 0;

  constructor(events: EventSink, now: () => number) {
    this.#events = events;
    this.#now = now;
  }

  /** Runs one fetch of a blob of `image`, reporting its bytes. */
  async run(
    image: string,
    blob: { readonly digest: Digest; readonly size: number; readonly mediaType: string },
    fetch: (onProgress: (bytes: number) => void) => Promise<void>,
  ): Promise<void> {
    const group = this.#enter(image);
    try {
      await fetch((done) => group.step.onBlob({ descriptor: blob, state: 'progress', done }));
      group.step.onBlob({ descriptor: blob, state: 'written', done: blob.size });
    } catch (error) {
      group.outcome = isStop(error) ? 'cancelled' : 'failed';
      throw error;
    } finally {
      group.running -= 1;
      if (group.running === 0) {
        this.#open.delete(image);
        group.step.end(group.outcome);
      }
    }
  }

  #enter(image: string): FetchGroup {
    const known = this.#open.get(image);
    if (known) {
      known.running += 1;
      return known;
    }
    this.#count += 1;
    const step = startTransferStep(this.#events, this.#now, `pull ${this.#count} ${image}`, `[internal] pull ${image}`);
    const group: FetchGroup = { step, running: 1, outcome: 'done' };
    this.#open.set(image, group);
    return group;
  }
}
