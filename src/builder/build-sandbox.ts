/**
 * The sandbox of a build: probed and announced when the first RUN needs it, ended when the last one has run. What that one
 * changed is packed, and the image written, meanwhile: the programs of a network take longer to go than small layers take.
 */
import { createSandbox, type Sandbox } from '../sandbox/index.ts';
import type { Plan } from './plan/index.ts';
import { probeMemory } from './probe-memory.ts';
import type { BuildPorts, BuildRequest } from './types.ts';

export class BuildSandbox implements AsyncDisposable {
  readonly #open: () => Promise<Sandbox>;
  #opened: Promise<Sandbox> | undefined;
  #closed: Promise<void> | undefined;
  #runsLeft: number;

  /** @param others commands beside the plans' */
  constructor({ isolation }: BuildRequest, { events, store }: BuildPorts, plans: readonly Plan[], others: number) {
    this.#open = () =>
      createSandbox({ isolation, events, scratch: store.temporaryFolder(), memory: probeMemory(store) });
    const steps = plans.flatMap(({ stages }) => stages.flatMap((stage) => stage.steps));
    this.#runsLeft = steps.filter(({ operation }) => operation.kind === 'run').length + others;
  }

  open(): Promise<Sandbox> {
    this.#opened ??= this.#open();
    return this.#opened;
  }

  /** One RUN needs it no more: its command has succeeded, or its layer was found. Each says so once. */
  leave(): void {
    this.#runsLeft -= 1;
    // What becomes of it, whoever closes it hears.
    if (this.#runsLeft === 0) this.close().catch(() => {});
  }

  /** Resolves when nothing of it is left. Why it could not be opened, whoever asked for it knows. */
  close(): Promise<void> {
    this.#closed ??= this.#opened?.then(
      (sandbox) => sandbox.close(),
      () => {},
    );
    return this.#closed ?? Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
