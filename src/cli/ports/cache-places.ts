/** The builder's port for kept cache mounts: OCI layouts in directories, and registries. */
import { existsSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { CacheMountPlace, CachePlace } from '../../builder/index.ts';
import { digestHex, mediaTypes, parseManifest, parseReference } from '../../image/index.ts';
import { openOciLayoutSink } from '../../layers/index.ts';
import type { Wiring } from '../wire.ts';

/** A directory holds one. */
const tag = 'cache-mount';

export async function openCachePlace(place: CacheMountPlace, wiring: Wiring, signal: AbortSignal): Promise<CachePlace> {
  if (place.kind === 'registry') {
    const reference = parseReference(place.reference);
    const repository = await wiring.repository(reference);
    return { source: repository, sink: repository, name: reference.digest ?? reference.tag ?? 'latest' };
  }
  const { path } = place;
  return {
    source: existsSync(join(path, 'index.json'))
      ? await wiring.openAddress({ kind: 'oci-layout', path, name: undefined }, signal)
      : undefined,
    sink: await openOciLayoutSink(path),
    name: tag,
    tidy: () => removeUnnamed(path),
  };
}

/** Blobs that no manifest of the layout names: a directory that CI keeps must not grow with each change. */
async function removeUnnamed(folder: string): Promise<void> {
  const blobs = join(folder, 'blobs/sha256');
  const index = parseManifest(await readFile(join(folder, 'index.json')), mediaTypes.ociIndex);
  const named = new Set<string>();
  for (const { digest, mediaType } of index.kind === 'index' ? index.manifests : []) {
    named.add(digestHex(digest));
    const manifest = parseManifest(await readFile(join(blobs, digestHex(digest))), mediaType);
    if (manifest.kind === 'manifest') {
      for (const blob of [manifest.config, ...manifest.layers]) named.add(digestHex(blob.digest));
    }
  }
  for (const name of await readdir(blobs)) if (!named.has(name)) await rm(join(blobs, name));
}
