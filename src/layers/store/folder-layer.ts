/** A folder of tsbuild's own as a layer: what it adds to the layers beneath, all of it where there are none. */
import { withEarlyForm } from '../compress/early-form.ts';
import type { DiffUpperInput } from '../diff/diff-upper.ts';
import type { LayerForm, WrittenLayer } from '../types.ts';
import { uncompressedLayer } from './layer-work.ts';
import type { StoreParts } from './store-parts.ts';

export type FolderChanges = Pick<DiffUpperInput, 'upper' | 'lowers' | 'latestMtime'>;

/** The same entries give the same layer; nothing may write to the folder meanwhile. */
export async function layerOfFolder(
  parts: StoreParts,
  changes: FolderChanges,
  signal: AbortSignal,
  form?: LayerForm,
): Promise<WrittenLayer> {
  const draft = parts.presence.draft();
  const job = { ...changes, draft, xattrPrefix: parts.xattrPrefix() };
  const small = await parts.smallJobs.get();
  const { diffId, size } =
    small.diffUpper(job) ??
    (await withEarlyForm(parts, { draft, form, signal }, async (onWritten) =>
      (await parts.pool.get()).run('diffUpper', job, signal, onWritten),
    ));
  parts.blobs.adopt(draft, diffId);
  return uncompressedLayer(diffId, size);
}
