/**
 * COPY and ADD: what is selected decides the key; the layer is written from the source tree straight into tar, and what
 * lies beneath is only looked at, never unpacked.
 */
import { type Digest, isDigest } from '../../image/index.ts';
import type { LayerRef } from '../../layers/index.ts';
import {
  type CopyOperand,
  type CopyOperation,
  type FetchedOperand,
  fetchOperand,
  layoutCopy,
  type RemoteSource,
  remoteSource,
  type Selection,
  selectCopy,
  selectionDigest,
  selectionFiles,
  unpackArchives,
} from '../copy/index.ts';
import type { CopyStep } from '../plan/index.ts';
import { createdMtime } from './created-mtime.ts';
import { fileDigests } from './file-digests.ts';
import type { OpenedSource, StepContext, StepWork } from './types.ts';

export async function copyStep(context: StepContext, step: CopyStep): Promise<StepWork> {
  const wholeSource = pinnedDownload(step) ?? (await context.sourceDigest(step.source));
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

/** The digest of the one file a step downloads, when the Dockerfile says it: nothing is fetched to know the key. */
function pinnedDownload({ add, patterns, files, checksum }: CopyStep): Digest | undefined {
  const [only] = patterns;
  if (!add || !only || patterns.length > 1 || files.length > 0 || !isDigest(checksum)) return undefined;
  return remoteSource(only.text)?.kind === 'http' ? checksum : undefined;
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
        remotes: readonly FetchedOperand[];
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
      for (const remote of remotes) await remote[Symbol.asyncDispose]();
    }
  }

  #select() {
    this.#selected ??= this.#open();
    return this.#selected;
  }

  #fetch(source: RemoteSource): Promise<FetchedOperand> {
    const { checksum, keepGitDir, unpack } = this.#step;
    const { environment, signal } = this.#context;
    return fetchOperand(source, {
      temporary: environment.store.temporaryFolder(),
      signal,
      proxyEnv: environment.request.proxyEnv,
      ...(checksum !== undefined && { checksum }),
      ...(keepGitDir !== undefined && { keepGitDir }),
      ...(unpack !== undefined && { unpack }),
    });
  }

  async #open() {
    const { openSource, step } = this.#context;
    const remotes: FetchedOperand[] = [];
    const operands: CopyOperand[] = [];
    for (const { text, location } of this.#step.patterns) {
      const remote = this.#step.add ? remoteSource(text) : undefined;
      if (remote) {
        const fetched = await this.#fetch(remote);
        remotes.push(fetched);
        operands.push(fetched.operand);
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
