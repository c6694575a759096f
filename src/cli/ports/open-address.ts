/** Opens the images that stand behind a transport rather than in a registry. */
import { TsbuildError } from '../../core/index.ts';
import { type ImageArchive, type LocalStore, openArchive, openOciLayout } from '../../layers/index.ts';
import type { FileAddress } from './base-images.ts';

/**
 * The archive must be disposed of.
 * @throws TsbuildError `image-archive-invalid`, `usage`
 */
export async function openImageAddress(
  address: FileAddress,
  store: LocalStore,
  signal: AbortSignal,
): Promise<ImageArchive> {
  switch (address.kind) {
    case 'oci-layout':
      return await openOciLayout(address.path, signal);
    case 'oci-archive':
    case 'docker-archive':
      return await openArchive(address.path, { signal, draft: store.draftPath() });
    case 'engine':
      throw new TsbuildError({
        code: 'usage',
        message: `docker-daemon:${address.name}: images of an engine are not read directly`,
        hint: `Bring it over first: docker save ${address.name} | tsbuild load`,
      });
  }
}
