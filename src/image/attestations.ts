/**
 * Attestations as BuildKit stores them (moby/buildkit `docs/attestations/attestation-storage.md`): beside an image, in the
 * same index, stands a manifest whose layers are in-toto statements about that image. Pure.
 */
import type { ImageConfig } from './config.ts';
import type { Descriptor } from './descriptor.ts';
import { type Digest, isDigest } from './digest.ts';
import { emptyDescriptor } from './empty-blob.ts';
import type { ImageManifest } from './manifest.ts';
import { mediaTypes } from './media-types.ts';

const artifactType = 'application/vnd.docker.attestation.manifest.v1+json';
const referenceType = 'vnd.docker.reference.type';
const referenceDigest = 'vnd.docker.reference.digest';
const predicateAnnotation = 'in-toto.io/predicate-type';

/** Bytes a statement may have: bills of materials name every file. */
export const largestStatement = 128 * 1024 * 1024;

/** What a layer of an attestation manifest says it is; undefined when it is no in-toto statement. */
export function predicateTypeOf({ mediaType, annotations = {} }: Descriptor): string | undefined {
  return mediaType === mediaTypes.inToto ? annotations[predicateAnnotation] : undefined;
}

/** The image of the index that a descriptor's manifest says something about; undefined when it is no attestation manifest. */
export function attestedDigest({ annotations = {} }: Descriptor): Digest | undefined {
  const digest = annotations[referenceDigest];
  return annotations[referenceType] === 'attestation-manifest' && isDigest(digest) ? digest : undefined;
}

/** The layer a statement is. */
export function statementLayer(blob: Descriptor, predicateType: string): Descriptor {
  return { ...blob, annotations: { [predicateAnnotation]: predicateType } };
}

/**
 * @param image the manifest the statements are about
 * @param config that of the older form, in which it looks like an image; undefined: it is an artifact whose subject is `image`
 */
export function attestationManifest(
  image: Descriptor,
  statements: readonly Descriptor[],
  config?: Descriptor,
): ImageManifest {
  const { mediaType, digest, size } = image;
  return {
    kind: 'manifest',
    mediaType: mediaTypes.ociManifest,
    layers: statements,
    ...(config ? { config } : { config: emptyDescriptor, artifactType, subject: { mediaType, digest, size } }),
  };
}

/** The configuration of the older form: an image for no machine, whose layers the statements are. */
export function attestationConfig(statements: readonly Descriptor[]): ImageConfig {
  return {
    os: 'unknown',
    architecture: 'unknown',
    config: {},
    rootfs: { type: 'layers', diff_ids: statements.map(({ digest }) => digest) },
    history: [],
    extra: {},
  };
}

/** Its entry in the index. No machine is of its platform, so that nothing takes it for an image. */
export function attestationEntry({ mediaType, digest, size }: Descriptor, image: Digest): Descriptor {
  return {
    mediaType,
    digest,
    size,
    platform: { architecture: 'unknown', os: 'unknown' },
    annotations: { [referenceDigest]: image, [referenceType]: 'attestation-manifest' },
  };
}
