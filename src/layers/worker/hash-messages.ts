/** What crosses between the store and the thread that hashes its downloads. Types only. */
import type { Digest } from '../../image/index.ts';

export interface HashedFile {
  readonly number: number;
  readonly path: string;
  readonly algorithm: 'sha256' | 'sha512';
}

export type HashRequest =
  | { readonly kind: 'grown' | 'end'; readonly file: HashedFile; readonly size: number }
  | { readonly kind: 'forget'; readonly file: HashedFile };

/** To every `end`. */
export type HashReply =
  | { readonly kind: 'digest'; readonly number: number; readonly digest: Digest }
  | { readonly kind: 'failed'; readonly number: number; readonly path: string; readonly reason: string };
