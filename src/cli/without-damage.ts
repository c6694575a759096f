/**
 * Goes on where a damaged store stopped a command: what was damaged has been dropped, so the next attempt fetches or builds
 * it, and takes the rest from the store.
 * Invariant: an attempt is repeated only when something was dropped meanwhile, so a failure of another kind is told at once.
 */
import { type EventSink, isTsbuildError, TsbuildError } from '../core/index.ts';
import type { LocalStore } from '../layers/index.ts';

const attempts = 3;

/** @param repeatable false where an attempt has effects that another must not repeat, such as bytes on stdout */
export async function withoutDamage<T>(
  store: LocalStore,
  options: { readonly events: EventSink; readonly signal: AbortSignal; readonly repeatable: boolean },
  work: () => Promise<T>,
): Promise<T> {
  const { events, signal } = options;
  let named = 0;
  const name = (then: string): boolean => {
    const dropped = store.dropped.slice(named);
    named += dropped.length;
    if (dropped.length === 0) return false;
    const message = `the local store held damaged copies of ${dropped.join(', ')}: dropped${then}`;
    events({ kind: 'notice', level: 'warning', message });
    return true;
  };
  for (let attempt = 1; ; attempt += 1) {
    try {
      const result = await work();
      name('; what was needed of them was fetched or made anew');
      return result;
    } catch (error) {
      if (signal.aborted) throw error;
      // What lies in a cut layer was looked for and not found; only reading the blobs tells which one it is.
      if (isTsbuildError(error) && error.code === 'layer-damaged') await store.check({ signal });
      if (!name('; trying again') || !options.repeatable || attempt === attempts) throw error;
    }
  }
}

/** Says which image it is that lacks a blob nothing can bring back, and how it gets whole again. */
export async function namingImage<T>(image: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isTsbuildError(error) || (error.code !== 'blob-missing' && error.code !== 'blob-damaged')) throw error;
    throw new TsbuildError({
      code: error.code,
      message: `${image} is not complete: ${error.message}`,
      hint: `Build, pull or load ${image} again: only what is lacking is made or fetched. tsbuild store check lists all that is.`,
      cause: error,
    });
  }
}
