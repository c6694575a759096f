/**
 * Finished steps by key: records of the local store first, then what other machines left elsewhere. A hit is
 * a layer that is here or can be fetched; everything else is a miss with its reason.
 */
import { type Descriptor, isDigest, layerMediaType, parseDescriptor } from '../../image/index.ts';
import type { LayerRef, Store } from '../../layers/index.ts';

export interface CachedStep {
  readonly layer: LayerRef;
  /** When the step finished: RFC 3339, for the image's history. */
  readonly created: string;
  /** All that are known: the one it was looked up by, and the narrower one of a step that has two. */
  readonly keys: readonly string[];
}

export type CacheLookup =
  | ({ readonly kind: 'hit' } & CachedStep)
  | { readonly kind: 'miss'; readonly because: 'unknown' | 'layer-gone' };

/** Where steps are found that the store has not got. */
export interface StepSource {
  find(key: string, signal: AbortSignal): Promise<CachedStep | undefined>;
}

const room = 'steps';

export class StepCache {
  readonly #store: Store;
  readonly #elsewhere: StepSource;

  constructor(store: Store, elsewhere: StepSource) {
    this.#store = store;
    this.#elsewhere = elsewhere;
  }

  async lookUp(key: string, signal: AbortSignal): Promise<CacheLookup> {
    const local = await this.#lookUpHere(key, signal);
    if (local.kind === 'hit') return local;
    const found = await this.#elsewhere.find(key, signal);
    if (found === undefined) return local;
    await this.remember(found);
    return { kind: 'hit', ...found };
  }

  async remember({ layer, created, keys }: CachedStep): Promise<void> {
    const { diffId, blob } = layer;
    const form = blob.digest === diffId ? { size: blob.size } : { blob };
    for (const key of keys) {
      const others = keys.filter((other) => other !== key);
      const record = { diffId, ...form, created, ...(others.length > 0 && { others }) };
      await this.#store.putRecord(room, key, record);
    }
  }

  async #lookUpHere(key: string, signal: AbortSignal): Promise<CacheLookup> {
    const record = readStepRecord(await this.#store.record(room, key));
    if (!record) return { kind: 'miss', because: 'unknown' };
    const { layer, created, others } = record;
    if (!(await this.#store.restore(layer, signal))) return { kind: 'miss', because: 'layer-gone' };
    return { kind: 'hit', layer, created, keys: [key, ...others] };
  }
}

function readStepRecord(value: unknown) {
  const { diffId, size, blob, created, others } = (value ?? {}) as Readonly<Record<string, unknown>>;
  if (!isDigest(diffId) || typeof created !== 'string') return undefined;
  const compressed = blob === undefined ? undefined : parseDescriptor(blob, 'blob');
  if (compressed === undefined && typeof size !== 'number') return undefined;
  const plain: Descriptor = { mediaType: layerMediaType('uncompressed'), digest: diffId, size: Number(size) };
  const layer: LayerRef = { diffId, blob: compressed ?? plain };
  return { layer, created, others: Array.isArray(others) ? others.filter((key) => typeof key === 'string') : [] };
}
