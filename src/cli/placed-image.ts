/** What an image is that lies elsewhere than in the store: read there, nothing fetched but manifest and configuration. */
import { TsbuildError } from '../core/index.ts';
import {
  type Platform,
  parseImageConfig,
  parseManifest,
  readBlob,
  readManifest,
  requireImage,
  selectPlatform,
} from '../image/index.ts';
import { openCopySource } from './ports/copy-places.ts';
import { type ImageAddress, parseImageAddress } from './ports/image-address.ts';
import type { ImageView } from './stored-image.ts';
import type { Wiring } from './wire.ts';

/** The place that a word names by its transport (`docker://NAME`, `oci:DIR:TAG`); undefined for a plain name. */
export function explicitPlace(word: string): ImageAddress | undefined {
  const address = parseImageAddress(word);
  const isExplicit = address.kind !== 'registry' || /^docker(-image)?:\/\//.test(word);
  return isExplicit && address.kind !== 'store' ? address : undefined;
}

/** @throws TsbuildError `platform-not-found`, `manifest-*`, or what the place fails with */
export async function viewPlacedImage(
  wiring: Wiring,
  address: ImageAddress,
  platform: Platform,
  signal: AbortSignal,
): Promise<ImageView> {
  const { source, name } = await openCopySource(wiring, address, signal);
  const target = await source.resolve(name, signal, { alsoRead: true });
  let descriptor = target;
  let document = parseManifest(await readManifest(source, target, signal), target.mediaType);
  const index = document.kind === 'index' ? document : undefined;
  for (let depth = 0; document.kind === 'index' && depth < 4; depth += 1) {
    descriptor = selectPlatform(document, platform, name === '' ? source.name : name);
    document = parseManifest(await readManifest(source, descriptor, signal), descriptor.mediaType);
  }
  if (document.kind === 'index') throw nestedTooDeep(source.name);
  requireImage(document, name === '' ? source.name : name);
  const config = parseImageConfig(await readBlob(source, document.config, signal));
  const size = document.layers.reduce((sum, layer) => sum + layer.size, document.config.size);
  return { source, target, index, descriptor, manifest: document, config, size };
}

function nestedTooDeep(place: string): TsbuildError {
  return new TsbuildError({
    code: 'manifest-invalid',
    message: `${place}: indexes are nested too deep`,
    hint: 'No honest image is nested so deep: do not use it.',
  });
}
