/**
 * What one layer has put into its directory so far, in memory: what a later entry replaces, which directories hide what
 * lies below them, and the metadata that directories get at the end.
 * Invariant: it mirrors the target directory exactly; whiteouts are not in the target until the end.
 */
import type { BytePath } from '../../core/index.ts';

export type OwnNode = OwnDirectory | 'file' | 'symlink' | 'other';

export interface OwnDirectory {
  readonly path: BytePath;
  readonly children: Map<string, OwnNode>;
  /** Names of the layers below that are gone. */
  gone: Set<string> | undefined;
  /** Nothing of the layers below is seen through it. */
  opaque: boolean;
  /** The last entry's, else what it had below when the layer first put something into it; undefined: none has any. */
  metadata: DirectoryMetadata | undefined;
}

export interface DirectoryMetadata {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: bigint;
  readonly xattrs: ReadonlyMap<string, Uint8Array> | undefined;
}

/** A directory in the merged tree while a path is resolved: the layer's own, one of the layers below, or none yet. */
export interface Place {
  readonly parent: Place | undefined;
  readonly path: BytePath;
  readonly own: OwnDirectory | undefined;
  /** Whether the layers below show through at this path. */
  readonly merged: boolean;
}

export function newOwnDirectory(path: BytePath, opaque: boolean): OwnDirectory {
  return { path, children: new Map(), gone: undefined, opaque, metadata: undefined };
}
