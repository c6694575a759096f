/**
 * The root file system of one RUN and the layer it becomes: an overlay over the snapshots of the chain beneath, or, on the
 * rung chroot, where nothing can be mounted, a plain copy that goes from step to step.
 * Invariant: `release` leaves nothing of a step that was not finished.
 */
import { chainIdOf, type Digest } from '../../image/index.ts';
import type { ChainOptions, LayerForm, LayerRef, RootCopy, Store, WriteLayerOptions } from '../../layers/index.ts';
import { mountPoints, type RootFs, type Rung, type StepMount } from '../../sandbox/index.ts';
import type { Chain } from './types.ts';

export interface RootParts extends ChainOptions {
  readonly store: Store;
  readonly below: Chain;
  /** The chain ID of `below`; null for the empty one. */
  readonly belowDigest: Digest | null;
  readonly onNote: (sentence: string) => void;
  /** See `WriteLayerOptions`. */
  readonly latestMtime?: bigint;
  readonly form?: LayerForm;
}

export interface StepRoot {
  readonly rootfs: RootFs;
  /** @returns the mounts the sandbox is to make; the others are in place */
  place(mounts: readonly StepMount[]): Promise<readonly StepMount[]>;
  /** A root over this one, for the next step; `lay` it when this one's step has succeeded. */
  above?(): Promise<StepRoot & { lay(): void }>;
  /** Before it is packed: what it lies over has its layers. */
  settle(parts: Pick<RootParts, 'below'>): Promise<void>;
  /** After the step has succeeded. */
  pack(): Promise<LayerRef>;
  /** For the next step, what was packed. */
  keep(parts: Pick<RootParts, 'belowDigest'>): Promise<void>;
  release(): Promise<void>;
}

export function openStepRoot(parts: RootParts, rung: Rung): Promise<StepRoot> {
  return rung === 'chroot' ? plainRoot(parts) : overlayRoot(parts);
}

async function overlayRoot(parts: RootParts): Promise<StepRoot> {
  const root = await overLowers(parts, await lowersOf(parts, parts.below));
  root.lay();
  return root;
}

function lowersOf({ store, ensure, signal, onNote }: RootParts, below: Chain): Promise<readonly string[]> {
  return store.lowers(below, { ensure, signal, onNote });
}

async function overLowers(parts: RootParts, present: readonly string[]): Promise<StepRoot & { lay(): void }> {
  const { store, signal } = parts;
  let lowers = present;
  // overlayfs wants something beneath, even where there is nothing. No part of the chain: what a step removes of it is
  // no change of the image.
  const scaffold = store.scaffold(mountPoints);
  const draft = await store.draft();
  let layer: LayerRef | undefined;
  let isKept = false;
  return {
    rootfs: { kind: 'overlay', lowers: [...lowers, scaffold], upper: draft.upper, work: draft.work },
    place: async (mounts) => mounts,
    above: () => overLowers(parts, [draft.upper, ...lowers]),
    lay: () => {
      if (present[0] !== undefined) draft.resemble(present[0]);
    },
    settle: async ({ below }) => {
      if (below !== parts.below) lowers = await lowersOf(parts, below);
    },
    pack: async () => {
      layer = await draft.diff({ signal, lowers, ...writingOf(parts) });
      return layer;
    },
    keep: async ({ belowDigest }) => {
      if (layer) isKept = await draft.commit(chainIdOf(belowDigest ?? undefined, layer.diffId));
    },
    release: async () => {
      if (!isKept) await draft.discard();
    },
  };
}

async function plainRoot(parts: RootParts): Promise<StepRoot> {
  const { store, below, signal, ensure, onNote } = parts;
  const copy = await store.rootCopy(below, { ensure, signal, onNote });
  let layer: LayerRef | undefined;
  return {
    rootfs: { kind: 'directory', path: copy.path },
    place: async (mounts) => {
      const left: StepMount[] = [];
      for (const mount of mounts) if (!(await placeCopy(copy, mount, onNote))) left.push(mount);
      return left;
    },
    settle: async () => {},
    pack: async () => {
      layer = await copy.diff({ signal, ...writingOf(parts) });
      return layer;
    },
    keep: async () => {
      if (layer) copy.keep(layer);
    },
    release: () => copy.release(),
  };
}

function writingOf({ latestMtime, form }: RootParts): Pick<WriteLayerOptions, 'latestMtime' | 'form'> {
  return { ...(latestMtime !== undefined && { latestMtime }), ...(form && { form }) };
}

/** @returns false for a mount that is the sandbox's to make */
async function placeCopy(copy: RootCopy, mount: StepMount, onNote: (sentence: string) => void): Promise<boolean> {
  switch (mount.kind) {
    case 'secret':
    case 'socket':
      return false;
    case 'tmpfs':
      onNote('on the rung chroot --mount=type=tmpfs is an empty directory on the disk, of any size');
      await copy.place(mount.target, { kind: 'empty', mode: mount.mode ?? 0o1777 });
      return true;
    case 'bind':
      await placeBind(copy, mount, onNote);
      return true;
  }
}

async function placeBind(
  copy: RootCopy,
  { root, source, target, readOnly, discardWrites = false }: Extract<StepMount, { kind: 'bind' }>,
  onNote: (sentence: string) => void,
): Promise<void> {
  if (typeof root !== 'string' && root.kind === 'overlay') {
    onNote('on the rung chroot --mount=type=bind copies what it shows; writes to it are possible and are thrown away');
    return copy.place(target, { kind: 'layers', lowers: root.lowers, source });
  }
  const keep = !readOnly && !discardWrites;
  if (keep) onNote('on the rung chroot --mount=type=cache copies the cache for each step; the last step to end wins');
  return copy.place(target, { kind: 'folder', folder: typeof root === 'string' ? root : root.path, source, keep });
}
