/** The builder's port for steps kept elsewhere: registries, and OCI layouts in directories. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { StepCacheAddress, StepCachePlace } from '../../builder/index.ts';
import { type BlobSink, parseReference } from '../../image/index.ts';
import { openOciLayoutSink } from '../../layers/index.ts';
import type { Wiring } from '../wire.ts';
import type { WiredBaseImages } from './base-images.ts';

export async function openStepCache(
  address: StepCacheAddress,
  wiring: Wiring,
  baseImages: WiredBaseImages,
  signal: AbortSignal,
): Promise<StepCachePlace> {
  if (address.kind === 'registry') {
    const reference = parseReference(address.repository);
    const repository = await wiring.repository(reference);
    const sink: BlobSink = {
      name: repository.name,
      has: (descriptor, inner) => repository.has(descriptor, inner),
      // What another repository of that registry has need not be sent.
      put: async (descriptor, open, options) =>
        repository.put(descriptor, open, { ...options, knownIn: await baseImages.knownIn(descriptor.digest) }),
      tag: (descriptor, name, inner) => repository.tag(descriptor, name, inner),
    };
    return {
      source: repository,
      sink: async () => sink,
      adopt: (layer) => baseImages.adopt([layer], { reference, source: repository }),
    };
  }
  const { path } = address;
  const store = await wiring.store();
  const source = existsSync(join(path, 'index.json'))
    ? await wiring.openAddress({ kind: 'oci-layout', path, name: undefined }, signal)
    : undefined;
  let sink: Promise<BlobSink> | undefined;
  return {
    source,
    sink: () => {
      sink ??= openOciLayoutSink(path);
      return sink;
    },
    // The directory may be gone when a later command needs the layer.
    adopt: async ({ blob }, inner) => {
      if (source) await store.put(blob, () => source.open(blob, inner), { signal: inner });
    },
  };
}
