/**
 * What the layers room offers: the store, layers as tar, merged trees, snapshots. Types only.
 *
 * Glossary: a *layer* is a tar of changes; its *diff ID* is the sha256 of the uncompressed tar; a *chain* is a list of
 * layers, lowest first, and its *chain ID* names the tree they make; a *snapshot* is one unpacked layer in overlayfs
 * form, named by the chain ID it tops.
 */
import type { BytePath } from '../core/index.ts';
import type { BlobSink, BlobSource, Compression, Descriptor, Digest, Reference } from '../image/index.ts';

/** One layer of a chain and the blob it comes as; the blob may be compressed and need not be in the store yet. */
export interface LayerRef {
  readonly diffId: Digest;
  readonly blob: Descriptor;
}

/** Makes a layer's blob present in the store (a registry pull, usually). Called only when the bytes are needed. */
export type EnsureBlob = (layer: LayerRef, signal: AbortSignal) => Promise<void>;

export interface ChainOptions {
  readonly ensure: EnsureBlob;
  readonly signal: AbortSignal;
  /** What could not be unpacked as the layer says, because this process may not: sentences for the user. */
  readonly onNote?: (sentence: string) => void;
}

export type EntryKind = 'file' | 'directory' | 'symlink' | 'hardlink' | 'fifo' | 'char' | 'block';

/** Where the bytes of a file entry come from. */
export type EntryContent =
  /** A file below a directory: opened relative to it, never through a symlink, never when it is no regular file. */
  | { readonly kind: 'file'; readonly root: string; readonly path: BytePath }
  /** A range of a file tsbuild owns, e.g. of an uncompressed layer blob. */
  | {
      readonly kind: 'range';
      readonly file: string;
      readonly offset: number;
      /** Bytes of the content, holes included. `hashContents` needs it; in an entry its size says the same. */
      readonly size?: number;
      /**
       * A sparse file of an archive: its stored bytes follow each other from `offset` on and belong at these positions;
       * the rest, up to the entry's size, is zeros.
       */
      readonly segments?: readonly { readonly position: number; readonly length: number }[];
    }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array };

/** One entry of a layer, in tar's terms. Whiteouts are not entries: see WriteLayerOptions and TreeEntry. */
export interface LayerEntry {
  readonly path: BytePath;
  readonly kind: EntryKind;
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content; 0 unless a file. */
  readonly size: number;
  /** Nanoseconds since 1970. */
  readonly mtime: bigint;
  /** Symlink: its text, as it is. Hardlink: the path of an entry of the same layer. */
  readonly linkTarget?: BytePath | undefined;
  readonly device?: { readonly major: number; readonly minor: number } | undefined;
  /** Names with prefix (`security.capability`) to raw bytes. */
  readonly xattrs?: ReadonlyMap<string, Uint8Array> | undefined;
  /** Present for files. */
  readonly content?: EntryContent | undefined;
}

export interface WriteLayerOptions {
  readonly signal: AbortSignal;
  /** Clamp: later mtimes become this (nanoseconds). `SOURCE_DATE_EPOCH` with rewrite-timestamp. */
  readonly latestMtime?: bigint;
  /** Also return the sha256 of every file's content. */
  readonly hashFiles?: boolean;
  /** It will be asked for: `compress` is begun while the layer is written. */
  readonly form?: LayerForm;
}

/** A compressed form of a layer. */
export interface LayerForm {
  readonly compression: Exclude<Compression, 'uncompressed'>;
  /** Default: that of `compress`. */
  readonly level?: number;
}

/** A layer that is in the store, uncompressed: `blob.digest === diffId`. */
export interface WrittenLayer extends LayerRef {
  /** With `hashFiles`: 32 bytes for each entry, the sha256 of its content when it is a file. */
  readonly fileDigests?: Uint8Array;
}

/** A read-only view of what the layers of a chain make together: whiteouts applied, nothing unpacked. */
export interface Tree {
  /** The entry itself, symlinks not followed in the last component; undefined when there is none. '' is the root. */
  lookup(path: BytePath): TreeEntry | undefined;
  /**
   * Follows symlinks inside the tree (`..` stops at the root, at most 40 links): the path it ends at, whether or not
   * something is there. @throws TsbuildError `path-loop`
   */
  resolve(path: BytePath, options?: { readonly followLast?: boolean }): BytePath;
  /** Children of a directory in byte order; [] when it is none. */
  list(path: BytePath): readonly TreeEntry[];
  /** A regular file's bytes, the path resolved in the tree. @param limit bytes, more is `file-too-large` */
  readFile(path: BytePath, limit: number): Promise<Buffer | undefined>;
  /**
   * Brings the bytes of contents to where they say they lie; the store's own operations do this themselves. A tree
   * without it has them there always.
   */
  provide?(contents: Iterable<EntryContent>, signal: AbortSignal): Promise<void>;
}

/** A LayerEntry with content that can be handed to `writeLayer` again; hardlinks are resolved to what they link to. */
export interface TreeEntry extends LayerEntry {
  /** Equal for entries that are hardlinks of one file; 0 for what has no other name in the tree. */
  readonly inode: number;
  /** sha256 of the content when it is known without reading. */
  readonly contentDigest?: Digest;
}

/** A private pair of directories for one RUN: overlayfs writes to `upper`. */
export interface SnapshotDraft {
  readonly upper: string;
  readonly work: string;
  /** Before it is mounted: its root directory gets the look of `below`'s, which an overlay shows until it is changed. */
  resemble(below: string): void;
  /** The layer the upper directory amounts to, put into the store. */
  diff(options: {
    readonly signal: AbortSignal;
    readonly lowers: readonly string[];
    readonly latestMtime?: bigint;
    /** As in WriteLayerOptions. */
    readonly form?: LayerForm;
  }): Promise<WrittenLayer>;
  /** Makes it the snapshot of a chain ID; false when there is one already: that one stays, and this is a draft still. */
  commit(chainId: Digest): Promise<boolean>;
  discard(): Promise<void>;
}

/** What stands in a root copy for the time of a step, where nothing can be mounted. */
export type PlacedTree =
  /** A copy of a plain folder, `source` resolved inside it. `keep`: afterwards the folder is what the step made of the copy. */
  | { readonly kind: 'folder'; readonly folder: string; readonly source: string; readonly keep: boolean }
  /** A copy of what unpacked layers, highest first, show at `source`. */
  | { readonly kind: 'layers'; readonly lowers: readonly string[]; readonly source: string }
  | { readonly kind: 'empty'; readonly mode: number };

/** A private directory that holds all that a chain makes, for one step that runs where nothing can be mounted. */
export interface RootCopy {
  readonly path: string;
  /**
   * Puts a copy of a tree at an absolute path of the root until the step has ended; what is there is hidden meanwhile.
   * @throws TsbuildError `sandbox-mount-failed`
   */
  place(target: string, tree: PlacedTree): Promise<void>;
  /** The layer of what the step changed, put into the store. What was placed is taken away before. */
  diff(options: {
    readonly signal: AbortSignal;
    readonly latestMtime?: bigint;
    readonly form?: LayerForm;
  }): Promise<WrittenLayer>;
  /** Hands the root on to the next step, whose chain has this layer more; without it the root goes with `release`. */
  keep(layer: LayerRef): void;
  release(): Promise<void>;
}

export interface StoredImage {
  /** Full reference, `docker.io/library/app:1`; undefined for an image without a name. */
  readonly name: string | undefined;
  readonly target: Descriptor;
  /** When the name was given: milliseconds since 1970. */
  readonly tagged: number;
  /** Layers that were left where the base comes from when the name was given. Any other is in the store, or was lost. */
  readonly absent?: readonly Digest[];
}

export interface ListOptions {
  /** Layers that are not here are left where the base comes from. Without it they count as lost. */
  readonly mayLackLayers?: boolean;
}

/**
 * The store: an OCI image layout other tools can read, with tsbuild's own folders beside it (see ARCHITECTURE.md).
 * Any number of processes may use one at the same time; a kill at any instant leaves it usable.
 */
export interface Store extends BlobSource, BlobSink {
  readonly root: string;
  /** Path of a blob's file, for reading; it need not exist. */
  blobPath(digest: Digest): string;
  hasBlob(digest: Digest): boolean;
  /** Whether a layer's blob is here, or was lost and could be made again from another form of the layer. */
  restore(layer: LayerRef, signal: AbortSignal): Promise<boolean>;
  /**
   * Like `open`, in memory that is used again: a piece is what it is until the next one is asked for. What this process has
   * verified is not verified once more.
   */
  openPieces(descriptor: Descriptor, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  putBytes(mediaType: string, bytes: Uint8Array): Promise<Descriptor>;
  /** Puts a stream whose digest is not known yet. */
  putStream(mediaType: string, bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Descriptor>;

  images(): Promise<readonly StoredImage[]>;
  /** By name (short or full), by image ID or its prefix, by digest. */
  findImage(nameOrId: string): Promise<StoredImage | undefined>;
  tagImage(target: Descriptor, name: Reference, options?: ListOptions): Promise<void>;
  /** Lists an image that has no name, so that `images` shows it and prune keeps it as docker keeps `<none>`. */
  listUnnamed(target: Descriptor, options?: ListOptions): Promise<void>;
  /**
   * What of an image is here stays until this process ends, whatever becomes of the image's names; `resolve` does the same.
   * @throws TsbuildError `blob-missing` when its manifest is not here
   */
  claim(target: Descriptor, signal: AbortSignal): Promise<void>;
  /** Takes names off; blobs stay until prune. Resolves to false when there was none. */
  untagImage(name: Reference): Promise<boolean>;

  /** Writes a layer as a deterministic tar: one pass, hashed as it is written. Entries come sorted by path, parents first. */
  writeLayer(entries: Iterable<LayerEntry>, options: WriteLayerOptions): Promise<WrittenLayer>;
  /** sha256 of file contents, in a worker. */
  hashContents(contents: readonly EntryContent[], signal: AbortSignal): Promise<readonly Digest[]>;
  /** The merged tree of a chain. Blobs are fetched for their headers unless an index of them is kept. */
  tree(chain: readonly LayerRef[], options: ChainOptions): Promise<Tree>;
  /** The form of a layer with a compression, made when it is missing and remembered per (diff ID, algorithm, level). */
  compress(
    layer: LayerRef,
    compression: Compression,
    options: { readonly level?: number; readonly signal: AbortSignal; readonly ensure?: EnsureBlob },
  ): Promise<Descriptor>;

  /** The snapshots of a chain as overlayfs lower directories, HIGHEST first; missing ones are unpacked. */
  lowers(chain: readonly LayerRef[], options: ChainOptions): Promise<readonly string[]>;
  /** @param below the highest of the lower directories, whose root the upper directory is to look like */
  draft(below?: string): Promise<SnapshotDraft>;
  /** A copy of what a chain makes. Within this process it is the one the step before left, where there is one. */
  rootCopy(chain: readonly LayerRef[], options: ChainOptions): Promise<RootCopy>;

  /** Small records by key (hex), e.g. build steps: atomic, last writer wins, damaged ones read as undefined. */
  record(room: string, key: string): Promise<unknown>;
  putRecord(room: string, key: string, value: unknown): Promise<void>;

  /** A kernel lock that a SIGKILL releases. */
  lock(name: string, mode: 'shared' | 'exclusive', signal: AbortSignal): Promise<AsyncDisposable>;
  /** The same without waiting: undefined when another holder is in the way. */
  tryLock(name: string, mode: 'shared' | 'exclusive'): Promise<AsyncDisposable | undefined>;
  /**
   * The directory of a cache mount; where there is none, `fill` puts into an empty one what it begins with. It stays until
   * this process ends.
   */
  cacheMount(name: string, fill: (folder: string) => Promise<void>, signal: AbortSignal): Promise<string>;
  /** All that a folder of tsbuild's own holds as one layer. Nothing may write to it meanwhile. */
  layerOf(folder: string, signal: AbortSignal): Promise<WrittenLayer>;
  /** A new private folder for what has no other place; it goes when the store is closed, or with a dead process. */
  temporaryFolder(): string;
  /**
   * A folder that holds nothing but these empty directories (`dev/`) and files (`etc/hosts`), on the file system of the
   * snapshots: the lowest layer of an overlay that needs places to mount at. Made once; it goes as a temporary folder does.
   */
  scaffold(paths: readonly string[]): string;
  /** Stops worker threads; no draft of this process stays. */
  close(): Promise<void>;
}
