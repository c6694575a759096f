/** The form in which the layers of a build leave the store, known before the first one is made. */
import type { LayerForm } from '../layers/index.ts';
import type { BuildRequest } from './types.ts';

/** That of the first export that compresses layers; undefined when none does. */
export function publishedForm({ exports }: Pick<BuildRequest, 'exports'>): LayerForm | undefined {
  for (const { kind, push, compression, compressionLevel } of exports) {
    const chosen = compression ?? (kind === 'docker' ? 'uncompressed' : 'gzip');
    const hasLayers = kind === 'oci' || kind === 'docker' || kind === 'registry' || (kind === 'image' && push === true);
    if (!hasLayers || chosen === 'uncompressed') continue;
    return { compression: chosen, ...(compressionLevel !== undefined && { level: compressionLevel }) };
  }
  return undefined;
}
