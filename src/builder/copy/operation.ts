/**
 * One COPY or ADD as its executor needs it: every word expanded, every remote source already fetched. Pure data.
 *
 * The two halves of the work share it: `selectCopy` reads the source tree and decides what is copied, `layoutCopy` reads
 * the destination tree and decides where it lands.
 */
import type { SourceLocation } from '../../core/index.ts';
import type { Digest } from '../../image/index.ts';
import type { EntryContent, Tree } from '../../layers/index.ts';

export type CopyOperand =
  /** A path in the source tree, wildcards allowed. */
  | { readonly kind: 'pattern'; readonly text: string; readonly location?: SourceLocation }
  /** A heredoc or a downloaded file. */
  | {
      readonly kind: 'file';
      readonly name: string;
      readonly content: EntryContent;
      /** Bytes. */
      readonly size: number;
      readonly mode: number;
      /** Nanoseconds since 1970. */
      readonly mtime: bigint;
      readonly digest?: Digest;
      /** Overrides the operation's `unpack`: remote files are unpacked only when asked for. */
      readonly unpack?: boolean;
    }
  /** The whole of another tree, e.g. a git checkout. */
  | { readonly kind: 'tree'; readonly tree: Tree };

export interface CopyOperation {
  readonly kind: 'copy' | 'add';
  readonly operands: readonly CopyOperand[];
  /** As written after expansion; relative to `workdir`. */
  readonly destination: string;
  /** Absolute. */
  readonly workdir: string;
  /** `user`, `user:group`, by name or number. */
  readonly chown?: string;
  /** Octal or symbolic. */
  readonly chmod?: string;
  readonly link: boolean;
  readonly parents: boolean;
  /** Patterns by .dockerignore's rules, relative to each source folder. */
  readonly excludes: readonly string[];
  /** Unpack local archives; default: true for ADD, false for COPY. */
  readonly unpack?: boolean;
  readonly location?: SourceLocation;
}

/** True when the destination names a folder whether or not it exists yet. */
export function destinationIsFolder(destination: string): boolean {
  return destination === '' || destination === '.' || destination.endsWith('/') || destination.endsWith('/.');
}
