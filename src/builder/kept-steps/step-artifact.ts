/** A step as an OCI artifact: a manifest whose only layer is the step's, with what a build has to know of it as annotations. */
import { TsbuildError } from '../../core/index.ts';
import {
  type BlobSource,
  type Descriptor,
  emptyDescriptor,
  type ImageManifest,
  isDigest,
  layerCompression,
  mediaTypes,
  parseManifest,
  readManifest,
} from '../../image/index.ts';
import { resolveIfThere } from '../artifact.ts';
import type { CachedStep } from '../cache/index.ts';

export const stepArtifactType = 'application/vnd.tsbuild.step.v1';
/** Keys of one step stand side by side, separated by a space. */
export const stepKeysAnnotation = 'dev.tsbuild.step-keys';
const annotation = {
  diffId: 'dev.tsbuild.diff-id',
  keys: stepKeysAnnotation,
  created: 'org.opencontainers.image.created',
} as const;

const rfc3339Time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

/** The manifest of a step whose layer was written as `layer`. */
export function stepManifest({ layer: { diffId }, created, keys }: CachedStep, layer: Descriptor): ImageManifest {
  return {
    kind: 'manifest',
    mediaType: mediaTypes.ociManifest,
    artifactType: stepArtifactType,
    config: emptyDescriptor,
    layers: [layer],
    annotations: {
      [annotation.diffId]: diffId,
      [annotation.keys]: keys.join(' '),
      [annotation.created]: created,
    },
  };
}

/** Undefined when there is none. @throws TsbuildError `step-cache-invalid` when something else has the name */
export async function readStep(source: BlobSource, name: string, signal: AbortSignal): Promise<CachedStep | undefined> {
  const target = await resolveIfThere(source, name, signal);
  if (!target) return undefined;
  const manifest = parseManifest(await readManifest(source, target, signal), target.mediaType);
  const step = stepOf(manifest);
  if (step) return step;
  throw new TsbuildError({
    code: 'step-cache-invalid',
    message: `${source.name}: ${name} is no step of tsbuild`,
    hint: 'Give the step cache a name of its own.',
  });
}

function stepOf(manifest: ReturnType<typeof parseManifest>): CachedStep | undefined {
  if (manifest.kind !== 'manifest' || manifest.artifactType !== stepArtifactType) return undefined;
  const { annotations = {}, layers } = manifest;
  const [blob] = layers;
  const diffId = annotations[annotation.diffId];
  const created = annotations[annotation.created];
  const keys = parseKeys(annotations[annotation.keys]);
  if (!isDigest(diffId) || !keys || created === undefined || !rfc3339Time.test(created)) return undefined;
  if (!blob || layerCompression(blob.mediaType) === undefined) return undefined;
  return { layer: { diffId, blob }, created, keys };
}

/** Undefined when that is no list of keys. */
export function parseKeys(text: string | undefined): readonly string[] | undefined {
  const keys = (text ?? '').split(' ');
  return keys.every((key) => /^[0-9a-f]{64}$/.test(key)) ? keys : undefined;
}
