/**
 * Finished steps that outlive the machine (`--cache-from`, `--cache-to`): found elsewhere when the local store has not got
 * them, left elsewhere after a build. There a step is an artifact under the tag of its key (step-artifact.ts), or a layer of
 * an image that says so (inline-steps.ts).
 * Invariants: a step is looked for only where the user said; what is found is a layer's name, and its bytes are fetched,
 * and verified, when something needs them; a place that cannot be read costs a warning, never the build.
 */
import { isTsbuildError, Limiter, TsbuildError } from '../../core/index.ts';
import { type BlobSource, describe, mediaTypes, serializeManifest } from '../../image/index.ts';
import type { LayerRef } from '../../layers/index.ts';
import { putBytes, putEmptyConfig } from '../artifact.ts';
import type { CachedStep, StepSource } from '../cache/index.ts';
import { publishLayer } from '../export/publish.ts';
import { internalStep } from '../internal-step.ts';
import type { BuildPorts, BuildRequest, StepCacheAddress, StepCacheExport, StepCachePlace } from '../types.ts';
import { readInlineSteps } from './inline-steps.ts';
import { readStep, stepManifest } from './step-artifact.ts';

/** Steps written at once. */
const writesAtOnce = 8;

type KeptStepsPorts = Pick<BuildPorts, 'store' | 'baseImages' | 'events' | 'now' | 'signal' | 'stepCaches'>;

/** The steps of one image: of all stages, and of those whose layers it has, lowest first. */
export interface ImageSteps {
  readonly all: readonly CachedStep[];
  readonly own: readonly CachedStep[];
}

export class KeptSteps implements StepSource {
  readonly #request: Pick<BuildRequest, 'cacheFrom' | 'cacheTo'>;
  readonly #ports: KeptStepsPorts;
  readonly #places = new Map<string, Promise<StepCachePlace>>();
  readonly #inline = new Map<string, Promise<ReadonlyMap<string, CachedStep>>>();
  /** Places that could not be read: they are not asked again. */
  readonly #lost = new Set<string>();

  constructor(request: Pick<BuildRequest, 'cacheFrom' | 'cacheTo'>, ports: KeptStepsPorts) {
    this.#request = request;
    this.#ports = ports;
  }

  /** Of the first place that has it. */
  async find(key: string, signal: AbortSignal): Promise<CachedStep | undefined> {
    for (const address of this.#request.cacheFrom) {
      const name = placeName(address);
      if (this.#lost.has(name)) continue;
      try {
        const place = await this.#open(address);
        if (!place.source) continue;
        const inline = (await this.#inlineSteps(address, place.source)).get(key);
        const found = inline ?? (await readStep(place.source, tagOf(address, key), signal));
        if (!found) continue;
        await place.adopt(found.layer, signal);
        return found;
      } catch (error) {
        if (!isTsbuildError(error) || signal.aborted) throw error;
        if (this.#lost.has(name)) continue;
        this.#lost.add(name);
        this.#warn(`no steps are taken from ${name}: ${error.message}`);
      }
    }
    return undefined;
  }

  /** After the build. What a place has already is not sent again. */
  async leave(images: readonly ImageSteps[]): Promise<void> {
    for (const wanted of this.#request.cacheTo) {
      const name = placeName(wanted.to);
      const steps = new Map<string, CachedStep>();
      for (const { all, own } of images) {
        for (const step of wanted.mode === 'max' ? all : own) steps.set(step.keys[0] ?? '', step);
      }
      try {
        await internalStep(this.#ports, `export cache to ${name}`, () => this.#export(wanted, [...steps.values()]));
      } catch (error) {
        if (!wanted.ignoreError || !isTsbuildError(error) || this.#ports.signal.aborted) throw error;
        this.#warn(`no steps were left at ${name}: ${error.message}`);
      }
    }
  }

  async #export(wanted: StepCacheExport, steps: readonly CachedStep[]): Promise<void> {
    const { signal } = this.#ports;
    const place = await this.#open(wanted.to);
    const limiter = new Limiter(writesAtOnce);
    await allDone(steps.map((step) => limiter.run(signal, () => this.#exportStep(wanted, place, step))));
  }

  async #exportStep(wanted: StepCacheExport, { source, sink }: StepCachePlace, step: CachedStep): Promise<void> {
    const { signal, store } = this.#ports;
    const names = step.keys.map((key) => tagOf(wanted.to, key));
    const missing: string[] = [];
    for (const name of names) {
      // What is there and no step is replaced, as any artifact of that name would be.
      const there = source && (await readStep(source, name, signal).catch(() => undefined));
      if (there?.layer.diffId !== step.layer.diffId) missing.push(name);
    }
    if (missing.length === 0) return;
    const ensure = async ({ diffId, blob }: LayerRef, inner: AbortSignal) => {
      if (!store.hasBlob(blob.digest)) await this.#ports.baseImages.fetch({ diffId, blob }, inner);
    };
    const layer = await publishLayer(store, step.layer, {
      ...(wanted.compression && { compression: wanted.compression }),
      ...(wanted.compressionLevel !== undefined && { level: wanted.compressionLevel }),
      ...(wanted.forceCompression !== undefined && { force: wanted.forceCompression }),
      ensure: (blob, inner) => ensure({ diffId: step.layer.diffId, blob }, inner),
      signal,
    });
    const bytes = serializeManifest(stepManifest(step, layer));
    const descriptor = describe(mediaTypes.ociManifest, bytes);
    const into = await sink();
    await putEmptyConfig(into, signal);
    const open = async () => {
      await ensure({ diffId: step.layer.diffId, blob: layer }, signal);
      return store.open(layer, signal);
    };
    await into.put(layer, open, { signal });
    await putBytes(into, descriptor, bytes, signal);
    for (const name of missing) await into.tag(descriptor, name, signal);
  }

  #open(address: StepCacheAddress): Promise<StepCachePlace> {
    const open = this.#ports.stepCaches;
    if (!open) throw new TsbuildError({ code: 'internal', message: 'no port for step caches' });
    const name = placeName(address);
    const place = this.#places.get(name) ?? open(address);
    this.#places.set(name, place);
    return place;
  }

  /** What the image says that the place is named after; a cache of steps alone has none. */
  #inlineSteps(address: StepCacheAddress, source: BlobSource): Promise<ReadonlyMap<string, CachedStep>> {
    const name = placeName(address);
    const read = this.#inline.get(name) ?? this.#readInline(address, source);
    this.#inline.set(name, read);
    return read;
  }

  async #readInline(address: StepCacheAddress, source: BlobSource): Promise<ReadonlyMap<string, CachedStep>> {
    if (address.kind === 'local') return new Map();
    const steps = await readInlineSteps(source, address.tag ?? 'latest', this.#ports.signal);
    if (steps?.size === 0) {
      this.#warn(`${placeName(address)} is an image without steps: one built with --cache-to type=inline has them`);
    }
    return steps ?? new Map();
  }

  #warn(message: string): void {
    this.#ports.events({ kind: 'notice', level: 'warning', message });
  }
}

/** A place may hold caches side by side: of branches, of several Dockerfiles. */
function tagOf({ tag }: StepCacheAddress, key: string): string {
  return tag === undefined ? key : `${tag}-${key}`;
}

function placeName(address: StepCacheAddress): string {
  const place = address.kind === 'local' ? address.path : address.repository;
  return address.tag === undefined ? place : `${place}:${address.tag}`;
}

/** Waits for all, then throws the first failure. */
async function allDone(works: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(works)) if (result.status === 'rejected') throw result.reason;
}
