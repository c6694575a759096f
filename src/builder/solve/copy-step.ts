/**
 * COPY and ADD: what is selected decides the key; the layer is written from the source tree straight into tar, and what
 * lies beneath is only looked at, never unpacked.
 */
import type { Digest } from '../../image/index.ts';
import type { LayerRef } from '../../layers/index.ts';
import {
  type CopyOperand,
  type CopyOperation,
  layoutCopy,
  type Selection,
  selectCopy,
  selectionDigest,
  selectionFiles,
  unpackArchives,
} from '../copy/index.ts';
import type { CopyStep } from '../plan/index.ts';
import { createdMtime } from './created-mtime.ts';
import { fileDigests } from './file-digests.ts';
import { isRemote, openRemote, type RemoteSource } from './remote-source.ts';
import type { OpenedSource, StepContext, StepWork } from './types.ts';

export async function copyStep(context: StepContext, step: CopyStep): Promise<StepWork> {
  const wholeSource = await context.sourceDigest(step.source);
  const copying = new Copying(context, step);
  return {
    operation: keyedOperation(step),
    dependsOnBelow: !step.link,
    ...(wholeSource === undefined
      ? { inputs: [await copying.contentDigest()] }
      : { inputs: [wholeSource], narrowInputs: async () => [await copying.contentDigest()] }),
    execute: () => copying.write(),
  };
}

/** The selection of one step, made once however often the key and the layer ask for it. */
class Copying {
  readonly #context: StepContext;
  readonly #step: CopyStep;
  #selected:
    | Promise<{
        source: OpenedSource;
        operation: CopyOperation;
        selection: Selection;
        remotes: readonly RemoteSource[];
      }>
    | undefined;

  constructor(context: StepContext, step: CopyStep) {
    this.#context = context;
    this.#step = step;
  }

  async contentDigest(): Promise<Digest> {
    const { source, selection } = await this.#select();
    const { environment, signal } = this.#context;
    return selectionDigest(selection, await fileDigests(environment, source, selectionFiles(selection), signal));
  }

  async write(): Promise<LayerRef> {
    const { environment, below, ensure, signal } = this.#context;
    const { operation, selection, remotes } = await this.#select();
    try {
      await using unpacked = await unpackArchives(selection, {
        temporary: environment.store.temporaryFolder(),
        signal,
      });
      const destination = this.#step.link ? undefined : await environment.store.tree(below, { ensure, signal });
      const entries = await layoutCopy(unpacked, operation, destination, {
        createdMtime: createdMtime(environment.request),
      });
      return await environment.store.writeLayer(entries, { signal });
    } finally {
      for (const remote of remotes) await remote.release();
    }
  }

  #select() {
    this.#selected ??= this.#open();
    return this.#selected;
  }

  async #open() {
    const { openSource, step, signal } = this.#context;
    const remotes: RemoteSource[] = [];
    const operands: CopyOperand[] = [];
    for (const { text, location } of this.#step.patterns) {
      if (this.#step.add && isRemote(text)) {
        const remote = await openRemote(text, this.#step, signal);
        remotes.push(remote);
        operands.push(remote.operand);
      } else {
        operands.push({ kind: 'pattern', text, location });
      }
    }
    for (const { name, text } of this.#step.files)
      operands.push(inlineFile(name, text, createdMtime(this.#context.environment.request)));
    const operation: CopyOperation = {
      kind: this.#step.add ? 'add' : 'copy',
      operands,
      destination: this.#step.destination,
      workdir: this.#step.workdir,
      link: this.#step.link,
      parents: this.#step.parents,
      excludes: this.#step.excludes,
      location: step.location,
      ...(this.#step.chown !== undefined && { chown: this.#step.chown }),
      ...(this.#step.chmod !== undefined && { chmod: this.#step.chmod }),
      ...(this.#step.unpack !== undefined && { unpack: this.#step.unpack }),
    };
    // Only patterns read the source: a step of heredocs and URLs opens no context.
    const usesSource = operands.some((operand) => operand.kind === 'pattern');
    const source = await openSource(usesSource ? this.#step.source : { kind: 'empty' });
    return { source, operation, selection: selectCopy(source.tree, operation), remotes };
  }
}

function inlineFile(name: string, text: string, mtime: bigint): CopyOperand {
  const bytes = Buffer.from(text);
  return { kind: 'file', name, content: { kind: 'bytes', bytes }, size: bytes.byteLength, mode: 0o644, mtime };
}

/** The text of the instruction without its places in the file. */
function keyedOperation({ patterns, source: _, ...step }: CopyStep): unknown {
  return { ...step, patterns: patterns.map(({ text }) => text) };
}
