/** What probes of the sandbox found, kept as records of the store: a probe takes as long as a small step. */
import { digestHex, digestOf } from '../image/index.ts';
import type { Store } from '../layers/index.ts';
import type { ProbeMemory } from '../sandbox/index.ts';

const room = 'probes';

export function probeMemory(store: Store): ProbeMemory {
  const key = (circumstances: string) => digestHex(digestOf(circumstances));
  return {
    recall: async (circumstances) => (await store.record(room, key(circumstances))) === true,
    keep: (circumstances, works) => store.putRecord(room, key(circumstances), works),
  };
}
