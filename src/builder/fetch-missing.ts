/** Brings those layers into the store that are not there: the bases' that nothing needed so far. */
import type { EnsureBlob } from '../layers/index.ts';
import type { BuildPorts } from './types.ts';

export function fetchMissing({ store, baseImages }: Pick<BuildPorts, 'store' | 'baseImages'>): EnsureBlob {
  return async (layer, signal) => {
    if (!store.hasBlob(layer.blob.digest)) await baseImages.fetch(layer, signal);
  };
}
