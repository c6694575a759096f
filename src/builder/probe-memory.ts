/**
 * What probes of the sandbox found, kept as records of the store: a probe takes as long as a small step. That something works
 * is believed until a step says otherwise, that it does not for an hour: nobody would notice that it does by now.
 */
import { digestHex, digestOf } from '../image/index.ts';
import type { Store } from '../layers/index.ts';
import type { ProbeMemory } from '../sandbox/index.ts';

const room = 'probes';
const hour = 3_600_000;

/** @param now milliseconds since 1970 */
export function probeMemory(store: Store, now: () => number = Date.now): ProbeMemory {
  const key = (circumstances: string) => digestHex(digestOf(circumstances));
  return {
    async recall(circumstances) {
      const kept = await store.record(room, key(circumstances));
      if (typeof kept === 'number') return Math.abs(now() - kept) < hour ? false : undefined;
      return kept === true ? true : undefined;
    },
    keep: (circumstances, works) =>
      store.putRecord(room, key(circumstances), works === false ? now() : (works ?? null)),
  };
}
