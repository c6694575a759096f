/** From a solved plan to an image in the store: configuration, manifest, and an index when there are several platforms. */
import {
  type Descriptor,
  type HistoryEntry,
  type ImageConfig,
  mediaTypes,
  serializeImageConfig,
  serializeManifest,
  toOciLayerType,
} from '../../image/index.ts';
import type { Store } from '../../layers/index.ts';
import type { PlannedStage } from '../plan/index.ts';
import { rfc3339 } from '../rfc3339.ts';
import type { StageResult } from '../solve/index.ts';
import type { Annotation, BuiltImage } from '../types.ts';
import { annotationsFor, annotationsMember } from './annotations.ts';

/** BuildKit's mark on the history entries of a Dockerfile build. */
const historyComment = 'buildkit.dockerfile.v0';

/**
 * @param options.epoch seconds since 1970; overrides every time of this build
 */
export async function assembleImage(
  store: Store,
  stages: readonly PlannedStage[],
  results: ReadonlyMap<number, StageResult>,
  options: {
    readonly epoch?: number;
    readonly annotations: readonly Annotation[];
    /** Of tsbuild's own. */
    readonly added?: Readonly<Record<string, string>>;
  },
): Promise<BuiltImage> {
  const target = stages.at(-1);
  const result = target && results.get(target.id);
  if (!target || !result) throw new Error('the target stage was not solved');
  const config = finishConfig(target, stages, results, options.epoch);
  const configDescriptor = await store.putBytes(mediaTypes.ociConfig, serializeImageConfig(config));
  const manifest = serializeManifest({
    kind: 'manifest',
    mediaType: mediaTypes.ociManifest,
    config: configDescriptor,
    // One manifest does not mix Docker's and OCI's names for the same thing.
    layers: result.chain.map(({ blob }) => ({ ...blob, mediaType: toOciLayerType(blob.mediaType) })),
    ...annotationsMember(options.added, annotationsFor(options.annotations, 'manifest', target.platform)),
  });
  return {
    platform: target.platform,
    manifest: await store.putBytes(mediaTypes.ociManifest, manifest),
    imageId: configDescriptor.digest,
  };
}

/**
 * An index over the images of several platforms, in the order they were asked for.
 * @param attestations entries that stand behind them
 */
export async function assembleIndex(
  store: Store,
  images: readonly BuiltImage[],
  annotations: readonly Annotation[],
  attestations: readonly Descriptor[] = [],
): Promise<Descriptor> {
  const own = images.map(({ manifest, platform }) => ({
    ...manifest,
    platform,
    ...annotationsMember(manifest.annotations, annotationsFor(annotations, 'manifest-descriptor', platform)),
  }));
  const bytes = serializeManifest({
    kind: 'index',
    mediaType: mediaTypes.ociIndex,
    manifests: [...own, ...attestations],
    ...annotationsMember(undefined, annotationsFor(annotations, 'index')),
  });
  return store.putBytes(mediaTypes.ociIndex, bytes);
}

function finishConfig(
  target: PlannedStage,
  stages: readonly PlannedStage[],
  results: ReadonlyMap<number, StageResult>,
  epoch: number | undefined,
): ImageConfig {
  const chain = results.get(target.id)?.chain ?? [];
  const history = fullHistory(target, stages, results, epoch);
  const created = epoch === undefined ? history.at(-1)?.created : epochTime(epoch);
  return {
    ...target.config,
    ...(created !== undefined && { created }),
    rootfs: { type: 'layers', diff_ids: chain.map((layer) => layer.diffId) },
    history,
  };
}

/** The base's entries, then those of each stage on the way up to the target. */
function fullHistory(
  target: PlannedStage,
  stages: readonly PlannedStage[],
  results: ReadonlyMap<number, StageResult>,
  epoch: number | undefined,
): HistoryEntry[] {
  const { base } = target;
  const parent = base.kind === 'stage' ? stages.find((stage) => stage.id === base.stage) : undefined;
  const inherited = parent
    ? fullHistory(parent, stages, results, epoch)
    : base.kind === 'image'
      ? baseHistory(base.image.config)
      : [];
  // An entry without a layer is as old as what it stands on, so that a cached build has the same ID as the first.
  let time =
    inherited.at(-1)?.created ?? (base.kind === 'image' ? base.image.config.created : undefined) ?? epochTime(0);
  const steps = results.get(target.id)?.steps ?? [];
  const own = target.history.map(({ createdBy, step }): HistoryEntry => {
    const made = step === undefined ? undefined : steps[step]?.created;
    time = epoch === undefined ? (made ?? time) : epochTime(epoch);
    return {
      created: time,
      created_by: createdBy,
      comment: historyComment,
      ...(step === undefined && { empty_layer: true }),
    };
  });
  return [...inherited, ...own];
}

/** A base whose history does not match its layers gets plain entries, as other tools check the counts. */
function baseHistory(config: ImageConfig): readonly HistoryEntry[] {
  const layers = config.rootfs.diff_ids.length;
  const withLayer = config.history.filter((entry) => !entry.empty_layer).length;
  if (withLayer === layers) return config.history;
  const missing = Array.from(
    { length: Math.max(0, layers - withLayer) },
    (): HistoryEntry => ({
      ...(config.created !== undefined && { created: config.created }),
      comment: 'layer without a history entry',
    }),
  );
  return withLayer < layers
    ? [...config.history, ...missing]
    : Array.from({ length: layers }, () => ({ comment: 'layer without a history entry' }));
}

function epochTime(seconds: number): string {
  return rfc3339(seconds * 1000);
}
