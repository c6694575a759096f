/** Where finished images go beside files: registries, and the engine of this machine. */
import type { Delivery } from '../../builder/index.ts';
import type { EventSink } from '../../core/index.ts';
import {
  attestedDigest,
  type BlobSource,
  copyGraph,
  type Descriptor,
  type Digest,
  familiarReference,
  isIndexType,
  type Platform,
  parseManifest,
  parseReference,
  type Reference,
  readManifest,
  selectPlatform,
} from '../../image/index.ts';
import type { LayerRef, Store } from '../../layers/index.ts';
import type { RegistryRepository } from '../../registry/index.ts';
import type { WiredBaseImages } from './base-images.ts';
import type { EngineApi } from './engine-api.ts';
import { startTransferStep, whileStep } from './transfer-steps.ts';

export interface DeliveryParts {
  readonly store: Store;
  readonly baseImages: WiredBaseImages;
  readonly repository: (reference: Reference) => Promise<RegistryRepository>;
  readonly engine: () => Promise<EngineApi>;
  readonly hostPlatform: Platform;
  readonly events: EventSink;
  readonly now: () => number;
}

export class WiredDelivery implements Delivery {
  readonly #parts: DeliveryParts;
  readonly #pushed = new Map<string, Descriptor>();

  constructor(parts: DeliveryParts) {
    this.#parts = parts;
  }

  /** What was pushed so far, by reference: its digest differs from the store's when layers were compressed for it. */
  get pushed(): ReadonlyMap<string, Descriptor> {
    return this.#pushed;
  }

  async push(
    target: Descriptor,
    name: string,
    options: { readonly byDigest: boolean; readonly signal: AbortSignal },
  ): Promise<void> {
    const { events, now } = this.#parts;
    const reference = parseReference(name);
    const shown = options.byDigest ? `${familiarReference(reference)} by digest` : familiarReference(reference);
    const step = startTransferStep(events, now, `push ${name}`, `[export] push ${shown}`);
    await whileStep(step, async () => {
      const repository = await this.#parts.repository(reference);
      const known = await this.#knownIn(target, options.signal);
      await copyGraph(this.#source(), repository, target, {
        signal: options.signal,
        knownIn: (descriptor) => known.get(descriptor.digest) ?? [],
        onBlob: step.onBlob,
      });
      if (!options.byDigest) await repository.tag(target, reference.tag ?? 'latest', options.signal);
      await this.#parts.baseImages.recordIn(reference, [...known.keys()]);
    });
    this.#pushed.set(name, target);
  }

  async keepsIndexes(signal: AbortSignal): Promise<boolean> {
    return (await this.#parts.engine()).usesContainerd(signal);
  }

  async load(target: Descriptor, names: readonly string[], signal: AbortSignal): Promise<void> {
    const { store, events, now, hostPlatform } = this.#parts;
    const step = startTransferStep(
      events,
      now,
      `load ${names.join(' ')}`,
      `[export] load ${names.map(short).join(', ') || 'into the engine'}`,
    );
    await whileStep(step, async () => {
      const engine = await this.#parts.engine();
      const ensure = (layer: LayerRef, inner: AbortSignal) => this.#parts.baseImages.fetch(layer, inner);
      if (await this.#isAttested(target, signal)) {
        const { writeOciArchive } = await import('../../layers/index.ts');
        const saved = [{ target, names }];
        return engine.loadImage((out, inner) => writeOciArchive(store, saved, out, inner, { ensure }), signal);
      }
      const manifest = await this.#imageFor(target, hostPlatform, signal);
      const document = parseManifest(await readManifest(store, manifest, signal), manifest.mediaType);
      const ids = new Set([
        manifest.digest,
        target.digest,
        ...(document.kind === 'manifest' ? [document.config.digest] : []),
      ]);
      if (await nameWhatIsThere(engine, ids, names.map(parseReference), signal)) {
        events({
          kind: 'notice',
          level: 'info',
          message: `the engine at ${engine.name} has the image already: nothing was sent`,
        });
        return;
      }
      const { writeDockerArchive } = await import('../../layers/index.ts');
      await engine.loadImage(
        (out, inner) => writeDockerArchive(store, [{ target: manifest, names }], out, inner, { ensure }),
        signal,
      );
    });
  }

  async #isAttested(target: Descriptor, signal: AbortSignal): Promise<boolean> {
    if (!isIndexType(target.mediaType)) return false;
    const document = parseManifest(await readManifest(this.#parts.store, target, signal), target.mediaType);
    return document.kind === 'index' && document.manifests.some((entry) => attestedDigest(entry) !== undefined);
  }

  /** An engine holds one platform of a name: ours. */
  async #imageFor(target: Descriptor, platform: Platform, signal: AbortSignal): Promise<Descriptor> {
    if (!isIndexType(target.mediaType)) return target;
    const document = parseManifest(await readManifest(this.#parts.store, target, signal), target.mediaType);
    return document.kind === 'index' ? selectPlatform(document, platform, 'the build') : target;
  }

  /** The store, and behind it the places where layers lie that were never needed here. */
  #source(): BlobSource {
    const { store, baseImages } = this.#parts;
    return {
      name: store.name,
      resolve: (reference, signal) => store.resolve(reference, signal),
      open: async (descriptor, signal) => {
        if (store.hasBlob(descriptor.digest)) return store.open(descriptor, signal);
        const origin = await baseImages.originOf(descriptor.digest);
        return (origin ?? store).open(descriptor, signal);
      },
    };
  }

  async #knownIn(target: Descriptor, signal: AbortSignal): Promise<Map<Digest, readonly string[]>> {
    const { store, baseImages } = this.#parts;
    const known = new Map<Digest, readonly string[]>();
    const seen = new Set<Digest>();
    const visit = async (descriptor: Descriptor): Promise<void> => {
      if (seen.has(descriptor.digest) || !store.hasBlob(descriptor.digest)) return;
      seen.add(descriptor.digest);
      const document = parseManifest(await readManifest(store, descriptor, signal), descriptor.mediaType);
      if (document.kind === 'index') await Promise.all(document.manifests.map(visit));
      else {
        for (const { digest } of document.layers) known.set(digest, await baseImages.knownIn(digest));
      }
    };
    await visit(target);
    return known;
  }
}

/** True when the engine has the image; names it lacks are given to it. */
async function nameWhatIsThere(
  engine: EngineApi,
  ids: ReadonlySet<string>,
  names: readonly Reference[],
  signal: AbortSignal,
): Promise<boolean> {
  const found = await firstOf(ids, (id) => engine.inspectImage(id, signal));
  if (!found) return false;
  for (const name of names) {
    const shown = familiarReference(name);
    if ((await engine.inspectImage(shown, signal))?.Id === found.Id) continue;
    await engine.tagImage(found.Id, shown.slice(0, shown.lastIndexOf(':')), name.tag ?? 'latest', signal);
  }
  return true;
}

async function firstOf<T, R>(items: Iterable<T>, find: (item: T) => Promise<R | undefined>): Promise<R | undefined> {
  for (const item of items) {
    const found = await find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

function short(name: string): string {
  return familiarReference(parseReference(name));
}
