/**
 * The composition root: the only place where the store, the registry client, the engine and the builder's ports meet.
 * Invariant: nothing is opened before a command asks for it, and `close` closes what was.
 */
import { homedir } from 'node:os';
import type { EventSink } from '../core/index.ts';
import type { Platform, Reference } from '../image/index.ts';
import type { ImageArchive, LocalStore } from '../layers/index.ts';
import type { RegistryClient, RegistryRepository } from '../registry/index.ts';
import type { FileAddress, WiredBaseImages } from './ports/base-images.ts';
import type { WiredDelivery } from './ports/delivery.ts';
import type { EngineApi } from './ports/engine-api.ts';
import type { Session } from './session.ts';
import { storeRoot } from './store-root.ts';

export class Wiring {
  readonly #session: Session;
  readonly #events: EventSink;
  #store: Promise<LocalStore> | undefined;
  #client: Promise<RegistryClient> | undefined;
  #engine: Promise<EngineApi> | undefined;
  readonly #opened: AsyncDisposable[] = [];

  constructor(session: Session, events: EventSink) {
    this.#session = session;
    this.#events = events;
  }

  /** @param root another one than this user's; settled by the first call */
  store(root?: string): Promise<LocalStore> {
    const { env, user } = this.#session;
    this.#store ??= import('../layers/index.ts').then(({ openStore }) =>
      openStore(root ?? storeRoot(env, user, homedir()), {
        onNotice: (message) => this.#events({ kind: 'notice', level: 'warning', message }),
      }),
    );
    return this.#store;
  }

  registry(): Promise<RegistryClient> {
    this.#client ??= import('./ports/registry.ts').then(({ openRegistry }) =>
      openRegistry(this.#session.env, this.#events),
    );
    return this.#client;
  }

  async repository(reference: Reference): Promise<RegistryRepository> {
    return (await this.registry()).repository(reference);
  }

  engine(): Promise<EngineApi> {
    this.#engine ??= import('./ports/engine-api.ts').then(({ EngineApi }) => new EngineApi(this.#session.env));
    return this.#engine;
  }

  /** An image behind a transport; it is closed with the wiring. */
  async openAddress(address: FileAddress, signal: AbortSignal): Promise<ImageArchive> {
    const { openImageAddress } = await import('./ports/open-address.ts');
    const archive = await openImageAddress(address, await this.store(), () => this.engine(), signal);
    this.#opened.push(archive);
    return archive;
  }

  /** @param events where fetching shows. Default: where everything does */
  async baseImages(events: EventSink = this.#events): Promise<WiredBaseImages> {
    const [{ WiredBaseImages }, store] = await Promise.all([import('./ports/base-images.ts'), this.store()]);
    return new WiredBaseImages({
      store,
      repository: (reference) => this.repository(reference),
      openAddress: (address, signal) => this.openAddress(address, signal),
      events,
      now: this.#session.now,
    });
  }

  async delivery(baseImages: WiredBaseImages, hostPlatform: Platform): Promise<WiredDelivery> {
    const [{ WiredDelivery }, store] = await Promise.all([import('./ports/delivery.ts'), this.store()]);
    return new WiredDelivery({
      store,
      baseImages,
      repository: (reference) => this.repository(reference),
      engine: () => this.engine(),
      hostPlatform,
      events: this.#events,
      now: this.#session.now,
    });
  }

  /** Ends worker threads and connections. What failed already does not fail again here. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#opened.map((archive) => archive[Symbol.asyncDispose]()));
    await Promise.allSettled([
      this.#store?.then((store) => store.close()),
      this.#client?.then((client) => client.close()),
    ]);
  }
}

/** Gives a command its wiring, and closes it whatever happens. */
export async function withWiring<T>(
  session: Session,
  events: EventSink,
  work: (wiring: Wiring) => Promise<T>,
): Promise<T> {
  const wiring = new Wiring(session, events);
  try {
    return await work(wiring);
  } finally {
    await wiring.close();
  }
}
