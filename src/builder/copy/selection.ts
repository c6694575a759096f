/**
 * What a COPY takes, independent of where it lands: the value between `selectCopy`, `unpackArchives` and `layoutCopy`.
 * Invariant: entries of an item come in the order of a walk (a folder before what it holds) and the first one is the
 * source itself, with the relative path ''.
 */
import type { BytePath } from '../../core/index.ts';
import type { LayerEntry, TreeEntry } from '../../layers/index.ts';

export interface SelectedEntry {
  /** Path below the source; '' is the source itself. */
  readonly relative: BytePath;
  readonly entry: TreeEntry;
  /** A folder that is there only because something below it was taken. */
  readonly implied: boolean;
}

export type SelectedItem =
  | {
      readonly kind: 'entries';
      /** What the source is called: its last component as written, '' for a root. */
      readonly name: BytePath;
      readonly entries: readonly SelectedEntry[];
      /** One of several matches of a wildcard. */
      readonly several: boolean;
      /** An archive is to be unpacked when it is one. */
      readonly unpack: boolean;
    }
  /** An unpacked archive: its entries in their order, paths as they land below the destination. */
  | { readonly kind: 'archive'; readonly name: BytePath; readonly entries: readonly LayerEntry[] };

export interface Selection {
  readonly items: readonly SelectedItem[];
}
