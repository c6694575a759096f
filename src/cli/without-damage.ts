/**
 * Goes on where a damaged store stopped a build: what was damaged has been dropped, so the next attempt fetches or builds
 * it, and takes the rest from the cache.
 * Invariant: an attempt is repeated only when something was dropped meanwhile, so a failure of another kind is told at once.
 */
import { type EventSink, isTsbuildError } from '../core/index.ts';
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
      name('; what the build needs was fetched or built anew');
      return result;
    } catch (error) {
      if (signal.aborted) throw error;
      // What lies in a cut layer was looked for and not found; only reading the blobs tells which one it is.
      if (isTsbuildError(error) && error.code === 'layer-damaged') await store.check({ signal });
      if (!name('; trying again') || !options.repeatable || attempt === attempts) throw error;
    }
  }
}
