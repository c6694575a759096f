/** The form in which the layers of a build leave the store, known before the first one is made. */
import type { LayerForm } from '../layers/index.ts';
import type { BuildRequest, ExportRequest } from './types.ts';

/**
 * That of the first export, else of the first place for steps, that takes a stage's layers compressed; undefined when none
 * does.
 * @param isInImage its layers are the image's
 */
export function publishedForm(
  { exports, cacheTo }: Pick<BuildRequest, 'exports' | 'cacheTo'>,
  isInImage: boolean,
): LayerForm | undefined {
  const taken = [
    ...exports.filter((one) => isInImage && takesLayers(one)),
    ...cacheTo.filter(({ mode }) => isInImage || mode === 'max').map((one) => ({ ...one, kind: 'cache' as const })),
  ];
  for (const { kind, compression, compressionLevel } of taken) {
    const chosen = compression ?? (kind === 'docker' ? 'uncompressed' : 'gzip');
    if (chosen === 'uncompressed') continue;
    return { compression: chosen, ...(compressionLevel !== undefined && { level: compressionLevel }) };
  }
  return undefined;
}

function takesLayers({ kind, push }: ExportRequest): boolean {
  return kind === 'oci' || kind === 'docker' || kind === 'registry' || (kind === 'image' && push === true);
}
