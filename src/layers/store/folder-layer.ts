/** A folder of tsbuild's own as a layer that adds all of it. */
import type { WrittenLayer } from '../types.ts';
import { uncompressedLayer } from './layer-work.ts';
import type { StoreParts } from './store-parts.ts';

/** The same entries give the same layer; nothing may write to the folder meanwhile. */
export async function layerOfFolder(parts: StoreParts, folder: string, signal: AbortSignal): Promise<WrittenLayer> {
  const draft = parts.presence.draft();
  const small = await parts.smallJobs.get();
  const job = { upper: folder, lowers: [], draft, xattrPrefix: parts.xattrPrefix() };
  const { diffId, size } = small.diffUpper(job) ?? (await (await parts.pool.get()).run('diffUpper', job, signal));
  parts.blobs.adopt(draft, diffId);
  return uncompressedLayer(diffId, size);
}
