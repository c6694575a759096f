/**
 * The builder's port for images made elsewhere: the store, registries, OCI layouts and archives behind one face.
 * Invariant: resolving reads manifests and configurations only; a layer's bytes come when `fetch` asks for them, from where
 * the image was resolved.
 */
import type { BaseImages, ResolvedImage } from '../../builder/index.ts';
import { type EventSink, isTsbuildError, TsbuildError } from '../../core/index.ts';
import {
  type BlobSource,
  type Descriptor,
  type Digest,
  digestHex,
  familiarReference,
  formatReference,
  type ImageManifest,
  isIndexType,
  type Platform,
  parseImageConfig,
  parseManifest,
  parseReference,
  platformMatch,
  type Reference,
  readBlob,
  readManifest,
  repositoryName,
  requireImage,
  selectPlatform,
} from '../../image/index.ts';
import type { LayerRef, Store } from '../../layers/index.ts';
import { parseImageAddress, withTransportHint } from './image-address.ts';
import { FetchSteps } from './transfer-steps.ts';

export interface BaseImageParts {
  readonly store: Store;
  /** Opened when the first image is not in the store. */
  readonly repository: (reference: Reference) => Promise<BlobSource>;
  /** An image behind a transport: `oci-layout://`, archives, an engine. */
  readonly openAddress: (address: FileAddress, signal: AbortSignal) => Promise<BlobSource>;
  readonly events: EventSink;
  readonly now: () => number;
}

export type FileAddress = Exclude<ReturnType<typeof parseImageAddress>, { kind: 'registry' } | { kind: 'store' }>;

interface Origin {
  readonly image: string;
  readonly source: () => Promise<BlobSource>;
}

interface ResolveBase {
  readonly platform: Platform;
  readonly pull: boolean;
  readonly signal: AbortSignal;
}

/** Of one blob: the latest. */
const rememberedRepositories = 4;

export class WiredBaseImages implements BaseImages {
  readonly #parts: BaseImageParts;
  readonly #origins = new Map<Digest, Origin>();
  readonly #fetches = new Map<Digest, Promise<void>>();
  readonly #steps: FetchSteps;

  constructor(parts: BaseImageParts) {
    this.#parts = parts;
    this.#steps = new FetchSteps(parts.events, parts.now);
  }

  resolve(text: string, options: ResolveBase): Promise<ResolvedImage> {
    return withTransportHint([text], () => this.#resolve(text, options));
  }

  async #resolve(text: string, options: ResolveBase): Promise<ResolvedImage> {
    const { store } = this.#parts;
    const address = parseImageAddress(text);
    if (address.kind === 'store') {
      const target = await store.resolve(address.name, options.signal);
      const image = await this.#fromStore(text, target, options.platform, undefined, options.signal);
      return image ?? missingParts(text);
    }
    if (address.kind !== 'registry') {
      const source = await this.#parts.openAddress(address, options.signal);
      // What an engine gives out holds the one image that was asked for.
      const name = address.kind === 'engine' ? '' : (address.name ?? '');
      const target = await source.resolve(name, options.signal);
      return this.#fromSource(text, { source, target, name: text }, options);
    }
    const { reference } = address;
    if (!options.pull) {
      const found = await store.findImage(formatReference(reference));
      const image = found && (await this.#fromStore(text, found.target, options.platform, reference, options.signal));
      if (image) return image;
    }
    const source = await this.#parts.repository(reference);
    const target = await source.resolve(reference.digest ?? reference.tag ?? 'latest', options.signal);
    const image = await this.#fromSource(
      text,
      { source, target, name: familiarReference(reference), reference },
      options,
    );
    if (reference.tag !== undefined && store.hasBlob(target.digest)) {
      await store.tagImage(target, reference, { mayLackLayers: true });
    }
    return image;
  }

  fetch(layer: LayerRef, signal: AbortSignal): Promise<void> {
    const { digest } = layer.blob;
    const running = this.#fetches.get(digest) ?? this.#fetch(layer, signal).finally(() => this.#fetches.delete(digest));
    this.#fetches.set(digest, running);
    return running;
  }

  /** Layers that a repository is known to have: they are fetched from there when their bytes are needed. */
  async adopt(
    layers: readonly LayerRef[],
    { reference, source }: { readonly reference: Reference; readonly source: BlobSource },
  ): Promise<void> {
    this.#remember(layers, { image: repositoryName(reference), source: async () => source });
    await this.recordIn(
      reference,
      layers.map(({ blob }) => blob.digest),
    );
  }

  /** For later commands, which may have to fetch or mount a layer that this one leaves at the registry. */
  async recordIn(reference: Reference, layers: readonly Digest[]): Promise<void> {
    const here = repositoryName(reference);
    await Promise.all(
      layers.map(async (digest) => {
        const known = await this.knownIn(digest);
        if (known.includes(here)) return;
        const repositories = [here, ...known].slice(0, rememberedRepositories);
        await this.#parts.store.putRecord('origins', digestHex(digest), { repositories });
      }),
    );
  }

  /** Registry repositories known to hold a blob, for mounts. */
  async knownIn(digest: Digest): Promise<readonly string[]> {
    const record = await this.#parts.store.record('origins', digestHex(digest));
    return isRepositoryList(record) ? record.repositories : [];
  }

  /** Where a blob that is not in the store can be had. */
  async originOf(digest: Digest): Promise<BlobSource | undefined> {
    const origin = this.#origins.get(digest);
    if (origin) return origin.source();
    const [repository] = await this.knownIn(digest);
    return repository === undefined ? undefined : this.#parts.repository(parseReference(repository));
  }

  async #fetch(layer: LayerRef, signal: AbortSignal): Promise<void> {
    const { store } = this.#parts;
    const { blob } = layer;
    if (await store.restore(layer, signal)) return;
    const source = await this.originOf(blob.digest);
    if (!source) {
      throw new TsbuildError({
        code: 'blob-missing',
        message: `the layer ${blob.digest} is not in the local store, and where it came from is not known`,
        hint: 'Pull its image again: tsbuild pull NAME, or build with --pull.',
      });
    }
    const image = this.#origins.get(blob.digest)?.image ?? source.name;
    await this.#steps.run(image, blob, async (onProgress) => {
      const unverified = source.openUnverified?.bind(source);
      const open = (from?: number) => unverified?.(blob, signal, from) ?? source.open(blob, signal);
      await store.put(blob, open, { signal, onProgress, resumable: unverified !== undefined });
    });
  }

  /** Undefined when the store has not got what a build needs to know of the image. */
  async #fromStore(
    text: string,
    target: Descriptor,
    platform: Platform,
    reference: Reference | undefined,
    signal: AbortSignal,
  ): Promise<ResolvedImage | undefined> {
    const { store } = this.#parts;
    // Its layers may be needed much later, and its name taken off before.
    const claimed = store.claim(target, signal).then(() => this.#manifestFor(store, target, platform, text, signal));
    const chosen = await claimed.catch((error: unknown) => {
      // What the store lacks, or has damaged, or has for other platforms only, the registry may have.
      if (isTsbuildError(error) && ['blob-missing', 'blob-damaged', 'platform-not-found'].includes(error.code))
        return undefined;
      throw error;
    });
    if (!chosen || !store.hasBlob(chosen.document.config.digest)) return undefined;
    const image = await this.#describe(text, target, chosen, store, signal);
    if (!isIndexType(target.mediaType) && platformMatch(platform, image.platform) === 0 && reference) return undefined;
    if (reference) {
      this.#remember(image.layers, {
        image: familiarReference(reference),
        source: () => this.#parts.repository(reference),
      });
    }
    return image;
  }

  async #fromSource(
    text: string,
    from: {
      readonly source: BlobSource;
      readonly target: Descriptor;
      readonly name: string;
      readonly reference?: Reference;
    },
    options: { readonly platform: Platform; readonly signal: AbortSignal },
  ): Promise<ResolvedImage> {
    const { store } = this.#parts;
    const { source, target, reference } = from;
    const { signal } = options;
    const chosen = await this.#manifestFor(source, target, options.platform, text, signal);
    const configBytes = await readBlob(source, chosen.document.config, signal);
    await store.putBytes(chosen.document.config.mediaType, configBytes);
    await store.putBytes(chosen.descriptor.mediaType, chosen.bytes);
    if (chosen.indexBytes) await store.putBytes(target.mediaType, chosen.indexBytes);
    const image = await this.#describe(text, target, chosen, store, signal);
    this.#remember(image.layers, { image: from.name, source: async () => source });
    if (reference) {
      await this.recordIn(
        reference,
        image.layers.map(({ blob }) => blob.digest),
      );
    }
    return image;
  }

  async #manifestFor(source: BlobSource, target: Descriptor, platform: Platform, text: string, signal: AbortSignal) {
    let descriptor = target;
    let bytes = await readManifest(source, target, signal);
    let indexBytes: Buffer | undefined;
    let document = parseManifest(bytes, target.mediaType);
    for (let depth = 0; document.kind === 'index' && depth < 4; depth += 1) {
      indexBytes ??= bytes;
      descriptor = selectPlatform(document, platform, text);
      bytes = await readManifest(source, descriptor, signal);
      document = parseManifest(bytes, descriptor.mediaType);
    }
    if (document.kind === 'index') {
      throw new TsbuildError({
        code: 'manifest-invalid',
        message: `${text}: indexes are nested too deep`,
        hint: 'Do not use it.',
      });
    }
    return { descriptor, bytes, document, indexBytes };
  }

  async #describe(
    text: string,
    target: Descriptor,
    chosen: { readonly descriptor: Descriptor; readonly document: ImageManifest },
    source: BlobSource,
    signal: AbortSignal,
  ): Promise<ResolvedImage> {
    const { descriptor, document } = chosen;
    requireImage(document, text);
    const config = parseImageConfig(await readBlob(source, document.config, signal));
    const diffIds = config.rootfs.diff_ids;
    if (diffIds.length !== document.layers.length) {
      throw new TsbuildError({
        code: 'config-invalid',
        message: `${text}: the manifest has ${document.layers.length} layers, the configuration ${diffIds.length}`,
        hint: 'It is no image a container can be made from; check the reference.',
      });
    }
    const layers = document.layers.flatMap((blob, index) => {
      const diffId = diffIds[index];
      return diffId === undefined ? [] : [{ diffId, blob }];
    });
    const { os, architecture, variant } = config;
    return {
      reference: text,
      digest: descriptor.digest,
      pinned: target.digest,
      platform: { os, architecture, ...(variant !== undefined && { variant }) },
      config,
      layers,
    };
  }

  #remember(layers: readonly LayerRef[], origin: Origin): void {
    for (const { blob } of layers) this.#origins.set(blob.digest, origin);
  }
}

function missingParts(text: string): never {
  throw new TsbuildError({
    code: 'image-unknown',
    message: `the local store has only parts of ${text}`,
    hint: 'Pull or build it again.',
  });
}

function isRepositoryList(value: unknown): value is { readonly repositories: readonly string[] } {
  const list = (value as { repositories?: unknown } | undefined)?.repositories;
  return Array.isArray(list) && list.every((item) => typeof item === 'string');
}
