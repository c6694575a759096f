/** What the solver works with while it turns a plan into layers. */
import type { EventSink, StepId } from '../../core/index.ts';
import { chainIds, type Digest, type Platform } from '../../image/index.ts';
import type { LayerForm, LayerRef, Store, Tree } from '../../layers/index.ts';
import type { Sandbox } from '../../sandbox/index.ts';
import type { CachedStep, StepCache } from '../cache/index.ts';
import type { KeptCacheMounts } from '../cache-mounts/index.ts';
import type { HashMemo } from '../context/index.ts';
import type { Emulators } from '../foreign-platforms.ts';
import type { Step, TreeSource } from '../plan/index.ts';
import type { BaseImages, BuildPorts, BuildRequest, SecretSource } from '../types.ts';

/** Layers, lowest first, that make one tree. */
export type Chain = readonly LayerRef[];

/** The chain ID of a chain; null for the empty one. */
export function chainDigest(chain: Chain): Digest | null {
  return chainIds(chain.map((layer) => layer.diffId)).at(-1) ?? null;
}

/** A stage that was built. */
export interface StageResult {
  readonly chain: Chain;
  readonly steps: readonly CachedStep[];
}

/** A tree that COPY and mounts read, with what names its content. */
export interface OpenedSource {
  readonly tree: Tree;
  /** Names the whole tree; undefined for contexts, whose files are compared one by one. */
  readonly digest?: Digest | null;
  /** The layers it is made of, when it is made of layers. */
  readonly chain?: Chain;
  /** Content digests by file: remembered from build to build for contexts. */
  readonly memo?: HashMemo;
  /** Of folders of this machine. */
  readonly selections?: KnownSelections;
}

/** Content digests of what COPYs select, remembered from build to build as long as nothing of a folder changes. */
export interface KnownSelections {
  /** @param selection JSON of all that decides what is selected, and how its digest is made */
  recall(selection: unknown): Digest | undefined;
  remember(selection: unknown, digest: Digest): void;
}

export interface SolveEnvironment {
  readonly request: BuildRequest;
  readonly store: Store;
  readonly steps: StepCache;
  readonly sandbox: {
    open(): Promise<Sandbox>;
    /** Of each RUN once, when its command has succeeded or its layer was found. */
    leave(): void;
  };
  readonly baseImages: BaseImages;
  readonly events: EventSink;
  readonly now: () => number;
  /** The build context and the named ones, opened on first use. `undefined`: the main one. */
  readonly openContext: (name: string | undefined) => Promise<OpenedSource>;
  readonly readSecret: (source: SecretSource) => Promise<Uint8Array>;
  readonly emulators: Emulators;
  readonly cacheMounts: KeptCacheMounts;
  /** What an ADD fetched. @param identity the file's digest, or `commit:subdirectory` */
  readonly onFetched?: (address: string, identity: string) => void;
  /** Sockets by ID. */
  readonly sshAgents: ReadonlyMap<string, string>;
  readonly onRunFailed?: BuildPorts['onRunFailed'];
}

/** One step about to be done. */
export interface StepContext {
  readonly environment: SolveEnvironment;
  readonly id: StepId;
  readonly step: Step;
  readonly below: Chain;
  /** The chain ID of `below`; null when nothing is. */
  readonly belowDigest: Digest | null;
  readonly platform: Platform;
  readonly ignoreCache: boolean;
  /** In which the layer leaves the store, when it does. */
  readonly form?: LayerForm;
  /** The trees of other stages, images and contexts. */
  readonly openSource: (source: TreeSource) => Promise<OpenedSource>;
  /** What names the content of such a tree without opening it; undefined for contexts. */
  readonly sourceDigest: (source: TreeSource) => Promise<Digest | null | undefined>;
  readonly ensure: (layer: LayerRef, signal: AbortSignal) => Promise<void>;
  /** What could not be unpacked as a layer says. */
  readonly onNote: (sentence: string) => void;
  readonly signal: AbortSignal;
  /** The step over this one. */
  readonly next: { readonly id: StepId; readonly step: Step } | undefined;
}

/** How a step is done: its key parts first, then, when they are unknown, its layer. */
export interface StepWork {
  readonly operation: unknown;
  readonly dependsOnBelow: boolean;
  readonly inputs: readonly (Digest | null)[];
  /**
   * A second look when `inputs` name more than the step really reads (a whole stage where one file is copied): digests
   * of the content alone. The result is remembered under both keys.
   */
  readonly narrowInputs?: () => Promise<readonly (Digest | null)[]>;
  readonly execute: () => Promise<LayerRef>;
}
