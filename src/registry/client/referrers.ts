/**
 * Referrers (distribution spec, "Listing Referrers"): the manifests whose `subject` is another one. Registries without
 * the API keep them in an index under a tag made of the digest; we read it, and write it when a registry does not.
 */
import {
  type Descriptor,
  type Digest,
  digestAlgorithm,
  digestHex,
  type ImageIndex,
  mediaTypes,
  parseDescriptor,
  type parseManifest,
  serializeManifest,
} from '../../image/index.ts';

/** `sha256-<hex>`: the tag of the fallback index (distribution spec, "Referrers Tag Schema"). */
export function referrersTag(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest)}`;
}

export function referrersOfPage(document: Record<string, unknown>): readonly Descriptor[] {
  if (!Array.isArray(document.manifests)) return [];
  return document.manifests.map((item, i) => parseDescriptor(item, `manifests[${i}]`));
}

/** The entry a manifest gets in the list of its subject's referrers. */
export function referrerEntry(descriptor: Descriptor, document: ReturnType<typeof parseManifest>): Descriptor {
  const type = document.artifactType ?? (document.kind === 'manifest' ? document.config.mediaType : undefined);
  return {
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    size: descriptor.size,
    ...(type !== undefined && { artifactType: type }),
    ...(document.annotations && { annotations: document.annotations }),
  };
}

/** The fallback index with one more entry; undefined when it is in it already. */
export function withReferrer(existing: readonly Descriptor[], entry: Descriptor): Buffer | undefined {
  if (existing.some((other) => other.digest === entry.digest)) return undefined;
  const index: ImageIndex = { kind: 'index', mediaType: mediaTypes.ociIndex, manifests: [...existing, entry] };
  return serializeManifest(index);
}

export function ofArtifactType(descriptors: readonly Descriptor[], type: string | undefined): readonly Descriptor[] {
  return type === undefined ? descriptors : descriptors.filter((descriptor) => descriptor.artifactType === type);
}
