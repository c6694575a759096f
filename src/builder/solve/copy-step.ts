/**
 * COPY and ADD: what is selected decides the key; the layer is written from the source tree straight into tar, and what
 * lies beneath is only looked at, never unpacked.
 */
import { bytePathToText, TsbuildError } from '../../core/index.ts';
import { type Digest, isDigest } from '../../image/index.ts';
import type { EntryContent, LayerEntry, LayerRef, TreeEntry } from '../../layers/index.ts';
import { sourceCredentials } from '../context/index.ts';
import {
  type CopyOperand,
  type CopyOperation,
  type EntryDigests,
  type FetchedOperand,
  fetchOperand,
  layoutCopy,
  type RemoteSource,
  remoteSource,
  type Selection,
  selectCopy,
  selectedFiles,
  selectionDigest,
  selectionFiles,
  selectionVersion,
  unpackArchives,
} from '../copy/index.ts';
import type { CopyStep, TreeSource } from '../plan/index.ts';
import { createdMtime, latestMtime } from './created-mtime.ts';
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

/** One step: its selection and its layer, each made once however often the key and the result ask for them. */
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

  #packed: Packed | undefined;
  /** What the key was made of: of each file, or of all that is selected at once. */
  #digests: EntryDigests | undefined;
  #recalled: Digest | undefined;

  constructor(context: StepContext, step: CopyStep) {
    this.#context = context;
    this.#step = step;
  }

  /** What the step copies, by content. */
  async contentDigest(): Promise<Digest> {
    const description = localSelection(this.#step);
    if (description === undefined) return await this.#digestOfFiles();
    const { selections } = await this.#context.openSource(this.#step.source);
    this.#recalled = selections?.recall(description);
    if (this.#recalled !== undefined) return this.#recalled;
    const digest = await this.#digestOfFiles();
    selections?.remember(description, digest);
    return digest;
  }

  /** The layer. @throws TsbuildError `copy-source-changed` when it would not be what the key says */
  async write(): Promise<LayerRef> {
    this.#packed ??= await this.#pack();
    const recalled = this.#recalled;
    this.#recalled = undefined;
    if (recalled !== undefined && (await this.#digestOfFiles()) !== recalled) throw changed(nameOf(this.#step.source));
    const { source, selection } = await this.#select();
    for (const entry of source.memo && this.#digests ? selectedFiles(selection) : []) {
      const packed = this.#packed.digests.get(entry);
      const keyed = entry.contentDigest ?? this.#digests?.get(entry);
      if (packed !== undefined && packed !== keyed) throw changed(bytePathToText(entry.path));
    }
    return this.#packed.layer;
  }

  /** Files nobody has hashed before are read once: packed and hashed together. */
  async #digestOfFiles(): Promise<Digest> {
    const { source, selection } = await this.#select();
    const { environment, signal } = this.#context;
    const files = selectionFiles(selection);
    // What another machine may have done is not packed before that is known: the layers beneath would be fetched for it.
    const isDoneHere = environment.request.cacheFrom.length === 0;
    if (isDoneHere && source.memo && isMostOf(files, selectedFiles(selection))) await this.write();
    const packed = this.#packed?.digests ?? noDigests;
    const others: TreeEntry[] = [];
    for (const entry of files) {
      const digest = packed.get(entry);
      if (digest) source.memo?.set(entry, digest);
      else others.push(entry);
    }
    const read = await fileDigests(environment, source, others, signal);
    this.#digests = { get: (entry) => packed.get(entry) ?? read.get(entry) };
    return selectionDigest(selection, this.#digests);
  }

  async #pack(): Promise<Packed> {
    const { environment, below, ensure, form, signal } = this.#context;
    const { source, operation, selection, remotes } = await this.#select();
    try {
      await using unpacked = await unpackArchives(selection, {
        temporary: environment.store.temporaryFolder(),
        signal,
      });
      const destination = this.#step.link ? undefined : await environment.store.tree(below, { ensure, signal });
      const entries = await layoutCopy(unpacked, operation, destination, {
        createdMtime: createdMtime(environment.request),
      });
      // Only files of this machine can change under our hands.
      const layer = await environment.store.writeLayer(entries, {
        signal,
        hashFiles: source.memo !== undefined,
        ...(form && { form }),
        ...latestMtime(environment.request),
      });
      const digests = layer.fileDigests ? packedDigests(entries, layer.fileDigests) : noDigests;
      return { layer: { diffId: layer.diffId, blob: layer.blob }, digests };
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
      credentials: sourceCredentials(environment.request),
      ...(environment.request.gitEnv && { gitEnvironment: environment.request.gitEnv }),
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
        this.#context.environment.onFetched?.(text, fetched.identity);
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
    return {
      source,
      operation,
      selection: selectCopy(source.tree, operation, { sourceName: nameOf(this.#step.source) }),
      remotes,
    };
  }
}

/** All that decides what is selected of its source; undefined when it copies something else, too. */
function localSelection({ add, patterns, files, parents, excludes, unpack }: CopyStep): unknown {
  const texts = patterns.map(({ text }) => text);
  if (files.length > 0 || (add && texts.some((text) => remoteSource(text)))) return undefined;
  return [selectionVersion, { add, texts, parents, excludes, unpack: unpack ?? null }];
}

interface Packed {
  readonly layer: LayerRef;
  readonly digests: EntryDigests;
}

const noDigests: EntryDigests = { get: () => undefined };

/** By content, which an entry of a layer shares with the entry of the tree it was copied from. */
function packedDigests(entries: readonly LayerEntry[], sums: Uint8Array): EntryDigests {
  const bytes = Buffer.from(sums.buffer, sums.byteOffset, sums.byteLength);
  const places = new Map<EntryContent, number>();
  for (const [place, { content }] of entries.entries()) if (content) places.set(content, place * sumSize);
  return {
    get({ content }) {
      const at = content && places.get(content);
      return at === undefined ? undefined : (`sha256:${bytes.toString('hex', at, at + sumSize)}` as Digest);
    },
  };
}

/** Bytes of a sha256. */
const sumSize = 32;

/** By bytes. */
function isMostOf(some: readonly TreeEntry[], all: readonly TreeEntry[]): boolean {
  if (some.length === 0) return false;
  const sizeOf = (entries: readonly TreeEntry[]) => entries.reduce((sum, entry) => sum + entry.size, 0);
  return sizeOf(some) * 2 > sizeOf(all);
}

function changed(what: string): TsbuildError {
  return new TsbuildError({
    code: 'copy-source-changed',
    message: `${what} was changed while it was copied`,
    hint: 'Build again when nothing writes to the context.',
  });
}

function inlineFile(name: string, text: string, mtime: bigint): CopyOperand {
  const bytes = Buffer.from(text);
  return { kind: 'file', name, content: { kind: 'bytes', bytes }, size: bytes.byteLength, mode: 0o644, mtime };
}

function nameOf(source: TreeSource): string {
  switch (source.kind) {
    case 'context':
      return 'the build context';
    case 'named-context':
      return `the context ${source.name}`;
    case 'stage':
      return 'the stage it copies from';
    case 'image':
      return source.image.reference;
    case 'empty':
      return 'scratch';
  }
}

/** The text of the instruction without its places in the file. */
function keyedOperation({ patterns, source: _, ...step }: CopyStep): unknown {
  return { ...step, patterns: patterns.map(({ text }) => text) };
}
