/**
 * Cache mounts that outlive the machine (`--cache-mount`): brought here when a step wants one that this machine has not, and
 * left elsewhere after the build. There one is an OCI artifact: a manifest with the cache as its only layer.
 * Invariant: a cache is written elsewhere only when its content differs from what is there.
 */
import { isTsbuildError, nearest, TsbuildError } from '../../core/index.ts';
import {
  type Descriptor,
  type Digest,
  describe,
  emptyDescriptor,
  type ImageManifest,
  isDigest,
  mediaTypes,
  parseManifest,
  readManifest,
  serializeManifest,
} from '../../image/index.ts';
import { exportTree, type WrittenLayer } from '../../layers/index.ts';
import { putBytes, putEmptyConfig, resolveIfThere } from '../artifact.ts';
import { internalStep } from '../internal-step.ts';
import type { Plan } from '../plan/index.ts';
import type { BuildPorts, BuildRequest, CacheMountPlace, CachePlace, KeptCacheMount } from '../types.ts';

export const artifactType = 'application/vnd.tsbuild.cache-mount.v1';
const diffIdAnnotation = 'dev.tsbuild.diff-id';

interface UsedCache {
  readonly folder: string;
  readonly lock: string | undefined;
}

export class KeptCacheMounts {
  readonly #kept: ReadonlyMap<string, KeptCacheMount>;
  readonly #ports: BuildPorts;
  /** What steps of this build had, by ID. */
  readonly #used = new Map<string, UsedCache>();

  constructor({ cacheMounts, buildArgs }: BuildRequest, ports: BuildPorts) {
    // As the planner names them.
    const namespace = buildArgs.BUILDKIT_CACHE_MOUNT_NS ?? '';
    this.#kept = new Map(cacheMounts.map((kept) => [`${namespace}/${kept.id}`, kept]));
    this.#ports = ports;
  }

  /** Says which of them no RUN has: a mistyped ID would go unnoticed. */
  checkNames(plans: readonly Plan[]): void {
    const steps = plans.flatMap(({ stages }) => stages.flatMap((stage) => stage.steps));
    const ids = steps.flatMap(({ operation }) =>
      operation.kind === 'run' ? operation.mounts.flatMap((mount) => (mount.kind === 'cache' ? [mount.id] : [])) : [],
    );
    for (const [id, kept] of this.#kept) {
      if (ids.includes(id)) continue;
      const near = nearest(id, ids);
      const hint = near === undefined ? '' : `; there is one with the ID ${near.slice(near.indexOf('/') + 1)}`;
      this.#notice('warning', `--cache-mount: no RUN of this build has a cache mount with the ID ${kept.id}${hint}`);
    }
  }

  /** Puts into an empty directory what is kept elsewhere. Resolves to false when nothing is. */
  async fill(id: string, folder: string, signal: AbortSignal): Promise<boolean> {
    const kept = this.#kept.get(id);
    if (!kept?.from) return false;
    const { from } = kept;
    try {
      return await internalStep(this.#ports, `import cache mount ${kept.id} from ${placeName(from)}`, () =>
        this.#import(from, folder, signal),
      );
    } catch (error) {
      if (!isTsbuildError(error) || signal.aborted) throw error;
      // A build needs no cache: what cannot be had is missed, and said.
      this.#notice('warning', `the cache mount ${kept.id} begins empty: ${error.message}`);
      return false;
    }
  }

  /**
   * A step of this build has it.
   * @param lock the store's lock that keeps others out of it; undefined when it is everybody's
   */
  use(id: string, folder: string, lock: string | undefined): void {
    if (this.#kept.has(id) && !this.#used.has(id)) this.#used.set(id, { folder, lock });
  }

  /** After the last step. Caches that no step had are as they were. */
  async leave(): Promise<void> {
    for (const [id, used] of this.#used) {
      const kept = this.#kept.get(id);
      if (!kept?.to) continue;
      const { to } = kept;
      try {
        await internalStep(this.#ports, `export cache mount ${kept.id} to ${placeName(to)}`, () =>
          this.#export(to, used),
        );
      } catch (error) {
        if (!kept.ignoreError || !isTsbuildError(error) || this.#ports.signal.aborted) throw error;
        this.#notice('warning', `the cache mount ${kept.id} was not exported: ${error.message}`);
      }
    }
  }

  async #import(place: CacheMountPlace, folder: string, signal: AbortSignal): Promise<boolean> {
    const { store } = this.#ports;
    const found = await this.#find(place, signal);
    if (!found) return false;
    const { layer, diffId, source } = found;
    await store.put(layer, () => source.open(layer, signal), { signal });
    const tree = await store.tree([{ diffId, blob: layer }], { ensure: async () => {}, signal });
    await exportTree(tree, { kind: 'directory', path: folder });
    return true;
  }

  async #export(place: CacheMountPlace, used: UsedCache): Promise<void> {
    const { store, signal } = this.#ports;
    const written = await this.#read(used);
    // What is there and no cache mount is replaced, as any artifact of that name would be.
    const before = await this.#find(place, signal).catch(() => undefined);
    if (before?.diffId === written.diffId) return;
    const layer = await store.compress(written, 'gzip', { signal });
    const manifest = manifestOf(layer, written.diffId);
    const bytes = serializeManifest(manifest);
    const descriptor = describe(mediaTypes.ociManifest, bytes);
    const { sink, name, tidy } = await this.#open(place);
    await putEmptyConfig(sink, signal);
    await sink.put(layer, () => store.open(layer, signal), { signal });
    await putBytes(sink, descriptor, bytes, signal);
    await sink.tag(descriptor, name, signal);
    await tidy?.();
  }

  /** As it is between two steps: another build may have it by now. */
  async #read({ folder, lock }: UsedCache): Promise<WrittenLayer> {
    const { store, signal } = this.#ports;
    const held = lock === undefined ? undefined : await store.lock(lock, 'exclusive', signal);
    try {
      return await store.layerOf(folder, signal);
    } finally {
      await held?.[Symbol.asyncDispose]();
    }
  }

  async #find(place: CacheMountPlace, signal: AbortSignal) {
    const { source, name } = await this.#open(place);
    const target = source && (await resolveIfThere(source, name, signal));
    if (!target) return undefined;
    const manifest = parseManifest(await readManifest(source, target, signal), target.mediaType);
    return { source, ...cacheOf(manifest, placeName(place)) };
  }

  async #open(place: CacheMountPlace): Promise<CachePlace> {
    const open = this.#ports.cachePlaces;
    if (!open) throw new TsbuildError({ code: 'internal', message: 'no port for the places of cache mounts' });
    return await open(place);
  }

  #notice(level: 'info' | 'warning', message: string): void {
    this.#ports.events({ kind: 'notice', level, message });
  }
}

function manifestOf(layer: Descriptor, diffId: Digest): ImageManifest {
  return {
    kind: 'manifest',
    mediaType: mediaTypes.ociManifest,
    artifactType,
    config: emptyDescriptor,
    layers: [layer],
    annotations: { [diffIdAnnotation]: diffId },
  };
}

function cacheOf(manifest: ReturnType<typeof parseManifest>, place: string): { layer: Descriptor; diffId: Digest } {
  const diffId = manifest.annotations?.[diffIdAnnotation] ?? '';
  const [layer] = manifest.kind === 'manifest' ? manifest.layers : [];
  if (manifest.kind === 'manifest' && manifest.artifactType === artifactType && layer && isDigest(diffId)) {
    return { layer, diffId };
  }
  throw new TsbuildError({
    code: 'cache-mount-invalid',
    message: `${place} holds something else than a cache mount of tsbuild`,
    hint: 'Give cache mounts a name of their own.',
  });
}

function placeName(place: CacheMountPlace): string {
  return place.kind === 'dir' ? place.path : place.reference;
}
