/** Opens the images that stand behind a transport rather than in a registry. */
import { type ImageArchive, type LocalStore, openArchive, openOciLayout } from '../../layers/index.ts';
import type { FileAddress } from './base-images.ts';
import type { EngineApi } from './engine-api.ts';

/**
 * The archive must be disposed of.
 * @throws TsbuildError `image-archive-invalid`, `image-not-found`, `engine-*`
 */
export async function openImageAddress(
  address: FileAddress,
  store: LocalStore,
  engine: () => Promise<EngineApi>,
  signal: AbortSignal,
): Promise<ImageArchive> {
  switch (address.kind) {
    case 'oci-layout':
      return await openOciLayout(address.path, signal);
    case 'oci-archive':
    case 'docker-archive':
      return await openArchive(address.path, { signal, draft: store.draftPath() });
    case 'engine': {
      const exported = (await engine()).exportImage(address.name, signal);
      return await openArchive(exported, { signal, draft: store.draftPath(), name: `docker-daemon:${address.name}` });
    }
  }
}
