/**
 * Steps in the image itself (`--cache-to type=inline`): an annotation of its manifest says which keys its topmost layers have.
 * The layers are the image's own, so nothing is written beside it.
 */
import {
  type BlobSource,
  type ImageManifest,
  parseImageConfig,
  parseManifest,
  readBlob,
  readManifest,
} from '../../image/index.ts';
import { resolveIfThere } from '../artifact.ts';
import type { CachedStep } from '../cache/index.ts';
import { parseKeys, stepKeysAnnotation } from './step-artifact.ts';

/** @param steps whose layers lie on top of the base's, lowest first */
export function inlineAnnotation(steps: readonly CachedStep[]): Readonly<Record<string, string>> {
  return { [stepKeysAnnotation]: steps.map(({ keys }) => keys.join(' ')).join(',') };
}

/**
 * The steps of an image, and of all images of an index, by key. Undefined when there is no image of that name; empty when
 * it says nothing of steps.
 */
export async function readInlineSteps(
  source: BlobSource,
  name: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, CachedStep> | undefined> {
  const target = await resolveIfThere(source, name, signal);
  if (!target) return undefined;
  const document = parseManifest(await readManifest(source, target, signal), target.mediaType);
  const manifests = [];
  if (document.kind === 'manifest') manifests.push(document);
  else {
    for (const child of document.manifests) {
      const manifest = parseManifest(await readManifest(source, child, signal), child.mediaType);
      if (manifest.kind === 'manifest') manifests.push(manifest);
    }
  }
  const steps = new Map<string, CachedStep>();
  for (const manifest of manifests) {
    for (const step of await stepsOf(source, manifest, signal)) for (const key of step.keys) steps.set(key, step);
  }
  return steps;
}

async function stepsOf(source: BlobSource, manifest: ImageManifest, signal: AbortSignal): Promise<CachedStep[]> {
  const groups = manifest.annotations?.[stepKeysAnnotation]?.split(',').map(parseKeys);
  if (groups === undefined) return [];
  const config = parseImageConfig(await readBlob(source, manifest.config, signal));
  const diffIds = config.rootfs.diff_ids;
  const made = config.history.filter((entry) => !entry.empty_layer);
  // One that counts otherwise was changed by something that does not know the annotation.
  if (diffIds.length !== manifest.layers.length || made.length !== diffIds.length) return [];
  const first = diffIds.length - groups.length;
  return groups.flatMap((keys, i) => {
    const [diffId, blob, created] = [diffIds[first + i], manifest.layers[first + i], made[first + i]?.created];
    return keys && diffId && blob && created ? [{ layer: { diffId, blob }, created, keys }] : [];
  });
}
