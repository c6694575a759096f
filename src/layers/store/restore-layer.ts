/**
 * A layer's blob that was lost, made again from another form of the layer that the store has: an uncompressed one from the
 * compressed one made of it, and the other way round.
 * Invariant: what comes back has the digest of what was lost; nothing is fetched for it.
 */
import { isTsbuildError } from '../../core/index.ts';
import type { Digest } from '../../image/index.ts';
import { compressLayer, type KnownForm, knownForms } from '../compress/compress-layer.ts';
import type { LayerRef } from '../types.ts';
import { uncompressedLayer } from './layer-work.ts';
import type { StoreParts } from './store-parts.ts';

/** @returns whether the layer's blob is here now */
export async function restoreLayer(parts: StoreParts, layer: LayerRef, signal: AbortSignal): Promise<boolean> {
  const { digest } = layer.blob;
  if (parts.blobs.has(digest)) return true;
  const forms = knownForms(parts, layer.diffId);
  const lost = forms.find((form) => form.digest === digest);
  if (digest !== layer.diffId && !lost) return false;
  if (!parts.blobs.has(layer.diffId) && !(await decompressAny(parts, layer.diffId, forms, signal))) return false;
  if (!lost) return true;
  // The size, which nothing reads here, is the file's own.
  const plain = uncompressedLayer(layer.diffId, 0);
  const made = await compressLayer(parts, plain, lost.compression, { level: lost.level, signal });
  return made.digest === digest;
}

async function decompressAny(
  parts: StoreParts,
  diffId: Digest,
  forms: readonly KnownForm[],
  signal: AbortSignal,
): Promise<boolean> {
  for (const { digest, compression } of forms) {
    if (!parts.blobs.has(digest)) continue;
    await parts.pending.finished(digest);
    const draft = parts.blobs.draft();
    try {
      const pool = await parts.pool.get();
      await pool.run('decompress', { blob: parts.blobs.path(digest), compression, draft, diffId }, signal);
      parts.blobs.adopt(draft, diffId);
      return true;
    } catch (error) {
      parts.blobs.discard(draft);
      // A form that is damaged as well is dropped by looking at it; there may be another.
      if (!isTsbuildError(error) || (await parts.blobs.isSound(digest, signal))) throw error;
    }
  }
  return false;
}
