/** An image in the shape docker inspect has, with what tsbuild knows besides. */
import { familiarReference, formatPlatform, isPlatformImage, parseReference, repositoryName } from '../image/index.ts';
import type { ImageView } from './stored-image.ts';

export type InspectedImage = ReturnType<typeof describeImage>;

export function describeImage(view: ImageView, names: readonly string[]) {
  const { config, manifest, target, index } = view;
  const references = names.map((name) => parseReference(name));
  return {
    Id: manifest.config.digest,
    RepoTags: references.map(familiarReference),
    RepoDigests: [
      ...new Set(references.map((reference) => `${familiarRepository(repositoryName(reference))}@${target.digest}`)),
    ],
    Created: config.created ?? '',
    Author: config.author ?? '',
    Architecture: config.architecture,
    ...(config.variant !== undefined && { Variant: config.variant }),
    Os: config.os,
    Size: view.size,
    Config: config.config,
    RootFS: { Type: 'layers', Layers: config.rootfs.diff_ids },
    Descriptor: target,
    ...(index && {
      Platforms: index.manifests
        .filter(isPlatformImage)
        .flatMap((item) => (item.platform ? [formatPlatform(item.platform)] : [])),
    }),
    Manifest: { Digest: view.descriptor.digest, MediaType: manifest.mediaType, Layers: manifest.layers },
  };
}

function familiarRepository(name: string): string {
  return name.replace(/^docker\.io\/(?:library\/(?=[^/]+$))?/, '');
}
