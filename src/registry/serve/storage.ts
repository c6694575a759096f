/**
 * What `tsbuild registry serve` serves: content by digest, and names. The local store stands behind it in the command
 * line; anything that keeps images can.
 * Invariant: a repository has the manifests that a record names, and the children of those that are indexes.
 */
import type { BlobSink, BlobSource, Descriptor, Digest } from '../../image/index.ts';

export interface ServedRecord {
  /** `team/app`. */
  readonly repository: string;
  /** Undefined: a manifest that was pushed by its digest alone. */
  readonly tag: string | undefined;
  readonly target: Descriptor;
}

export interface ServedStorage {
  readonly content: Pick<BlobSource, 'open'> & Pick<BlobSink, 'put'>;
  /** The one spelling of a repository that may be asked for by several names, e.g. `library/alpine` and `alpine`. */
  canonical?(repository: string): string;
  /** Some bytes of a content, without reading what lies before them. Whoever asked verifies the whole. */
  openRange?(digest: Digest, first: number, last: number): Promise<AsyncIterable<Uint8Array>>;
  /** Bytes; undefined when there is no such content. */
  sizeOf(digest: Digest): Promise<number | undefined>;
  /** Removes a content that no record leads to. `in-use`: it may not go now, for a reason outside this registry. */
  removeContent(digest: Digest, signal: AbortSignal): Promise<'removed' | 'absent' | 'needed' | 'in-use'>;
  records(): Promise<readonly ServedRecord[]>;
  /** Adds a record; one with the same repository and tag is replaced. */
  record(record: ServedRecord): Promise<void>;
  /** Removes the records of a repository with this tag, or with this target whatever their tag. */
  forget(repository: string, what: { readonly tag: string } | { readonly digest: Digest }): Promise<void>;
}
