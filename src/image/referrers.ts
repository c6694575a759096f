/** What names another manifest as its `subject` (distribution spec 1.1, "Referrers Tag Schema" and "Listing Referrers"). Pure. */
import type { Descriptor } from './descriptor.ts';
import { type Digest, digestAlgorithm, digestHex } from './digest.ts';
import type { ImageIndex, ImageManifest } from './manifest.ts';

/** `sha256-<hex>`: the tag of the list of what refers to a manifest, where there is no API for it. */
export function referrersTag(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest)}`;
}

/** Whether a tag is one that `referrersTag` makes. */
export function isReferrersTag(tag: string): boolean {
  return /^sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{128})$/.test(tag);
}

/**
 * The tags under which cosign keeps what belongs to a manifest that does not name it as its subject: signatures,
 * attestations, bills of materials.
 */
export function attachmentTags(subject: Digest): readonly string[] {
  return ['sig', 'att', 'sbom'].map((kind) => `${referrersTag(subject)}.${kind}`);
}

/** Whether a tag, or the tag of a name, is one that `attachmentTags` makes. */
export function isAttachmentTag(tag: string): boolean {
  return /(?:^|:)sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{128})\.(?:sig|att|sbom)$/.test(tag);
}

/** The entry a manifest gets in the list of its subject's referrers. */
export function referrerEntry(descriptor: Descriptor, document: ImageManifest | ImageIndex): Descriptor {
  const type = document.artifactType ?? (document.kind === 'manifest' ? document.config.mediaType : undefined);
  return {
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    size: descriptor.size,
    ...(type !== undefined && { artifactType: type }),
    ...(document.annotations && { annotations: document.annotations }),
  };
}
