/**
 * Finished steps by key, kept as records of the store. A hit is a layer that is in the store; everything else is a miss
 * with its reason. Local only: what other machines did arrives through `--cache-from`.
 */
import { isDigest, layerMediaType } from '../../image/index.ts';
import type { LayerRef, Store } from '../../layers/index.ts';

export interface CachedStep {
  readonly layer: LayerRef;
  /** When the step finished: RFC 3339, for the image's history. */
  readonly created: string;
}

export type CacheLookup =
  | ({ readonly kind: 'hit' } & CachedStep)
  | { readonly kind: 'miss'; readonly because: 'unknown' | 'layer-gone' };

const room = 'steps';

export async function lookUpStep(store: Store, key: string, signal: AbortSignal): Promise<CacheLookup> {
  const record = (await store.record(room, key)) as { diffId?: unknown; size?: unknown; created?: unknown } | undefined;
  if (!record || !isDigest(record.diffId) || typeof record.size !== 'number' || typeof record.created !== 'string') {
    return { kind: 'miss', because: 'unknown' };
  }
  const blob = { mediaType: layerMediaType('uncompressed'), digest: record.diffId, size: record.size };
  const layer = { diffId: record.diffId, blob };
  if (!(await store.restore(layer, signal))) return { kind: 'miss', because: 'layer-gone' };
  return { kind: 'hit', layer, created: record.created };
}

export async function rememberStep(store: Store, key: string, { layer, created }: CachedStep): Promise<void> {
  await store.putRecord(room, key, { diffId: layer.diffId, size: layer.blob.size, created });
}
