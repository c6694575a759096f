/** Opens the images that stand behind a transport rather than in a registry. */
import { TsbuildError } from '../../core/index.ts';
import type { BlobSource } from '../../image/index.ts';
import type { FileAddress } from './base-images.ts';
import { OciLayoutSource } from './oci-layout-source.ts';

/** @throws TsbuildError `image-unknown`, `usage` */
export async function openImageAddress(address: FileAddress): Promise<BlobSource> {
  if (address.kind === 'oci-layout') return new OciLayoutSource(address.path);
  throw new TsbuildError({
    code: 'usage',
    message: `images of ${address.kind} cannot be used here`,
    hint: 'Load it into the store first: tsbuild load -i FILE, then use its name.',
  });
}
