/**
 * The jobs for steps that run in a plain directory: what every path is before the step, and the layer of what is
 * different after it.
 * Invariant: the layer is the one an overlay over the same files would have given, but where one inode number is used
 * again for another directory: then its old names are whited out one by one.
 */
import { closeSync } from 'node:fs';
import type { BytePath } from '../../core/index.ts';
import type { Digest } from '../../image/index.ts';
import { DirectoryHandles, openRoot } from '../native/directory-handles.ts';
import { isLayerXattr, readXattrs } from '../native/xattrs.ts';
import { baseName, parentPath } from '../tree/resolve-place.ts';
import type { JobControl } from '../worker/job-control.ts';
import { LayerDraft } from '../worker/layer-draft.ts';
import { layerFailure, naming } from '../worker/system-error.ts';
import { compareRoots, type RootChange } from './compare-roots.ts';
import { UpperPacker } from './diff-upper.ts';
import { RecordView, type RootRecord, takeRecord } from './root-record.ts';

export function recordRoot({ root }: { readonly root: string }, control: JobControl): { readonly record: RootRecord } {
  try {
    return { record: recordOf(root, undefined, control) };
  } catch (error) {
    throw layerFailure(error, 'looking at the files of a step');
  }
}

export interface DiffRootInput {
  readonly root: string;
  /** As it was before the step. */
  readonly record: RootRecord;
  readonly draft: string;
  readonly latestMtime?: bigint;
  /** Of the files that were undecided, those with the content they had. Without it nothing is written while there are any. */
  readonly unchanged?: readonly string[];
}

export type DiffRootOutput =
  | { readonly kind: 'undecided'; readonly paths: readonly BytePath[] }
  | {
      readonly kind: 'layer';
      readonly diffId: Digest;
      readonly size: number;
      /** As it is now. */
      readonly record: RootRecord;
    };

export function diffRoot(input: DiffRootInput, control: JobControl): DiffRootOutput {
  try {
    const before = new RecordView(input.record);
    const record = recordOf(input.root, before, control);
    const { changes, undecided } = compareRoots(before, new RecordView(record), new Set(input.unchanged));
    if (undecided.length > 0 && input.unchanged === undefined) return { kind: 'undecided', paths: undecided };
    return { kind: 'layer', ...packChanges(changes, input, control), record };
  } catch (error) {
    throw layerFailure(error, 'packing the changes of a step');
  }
}

function recordOf(path: string, known: RecordView | undefined, control: JobControl): RootRecord {
  const root = openRoot(path);
  try {
    return takeRecord(root, known, () => control.throwIfAborted());
  } finally {
    closeSync(root);
  }
}

function packChanges(
  changes: readonly RootChange[],
  { root: path, draft: draftPath, latestMtime }: DiffRootInput,
  control: JobControl,
): { readonly diffId: Digest; readonly size: number } {
  const root = openRoot(path);
  const handles = new DirectoryHandles(root, 256);
  const draft = new LayerDraft(draftPath, control);
  try {
    const packer = new UpperPacker(draft, latestMtime);
    for (const change of changes) {
      control.throwIfAborted();
      naming('reading', 'entry' in change ? change.entry.path : change.path, () => pack(packer, change, handles));
    }
    return draft.finish();
  } finally {
    draft.close();
    handles.close();
    closeSync(root);
  }
}

function pack(packer: UpperPacker, change: RootChange, handles: DirectoryHandles): void {
  switch (change.kind) {
    case 'directory': {
      const { entry } = change;
      return packer.directory(entry.path, entry, readXattrs(handles.fd(entry.path), '', isLayerXattr));
    }
    case 'opaque':
      return packer.opaque(change.path);
    case 'whiteout':
      return packer.whiteout(change.path);
    case 'leaf': {
      const { path } = change.entry;
      const directory = handles.fd(parentPath(path) as BytePath);
      return packer.leaf(path, { ...change.entry, name: baseName(path) as BytePath }, directory);
    }
  }
}
