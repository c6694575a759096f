/**
 * What a COPY takes, independent of where it lands: the value between `selectCopy`, `unpackArchives` and `layoutCopy`.
 * Invariant: entries of an item come in the order of a walk (a folder before what it holds) and the first one is the
 * source itself, with the relative path ''.
 */
import { createHash } from 'node:crypto';
import { type BytePath, canonicalJson } from '../../core/index.ts';
import { type Digest, digestOf } from '../../image/index.ts';
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

/** The files whose content digest `selectionDigest` needs and that do not carry one. */
export function selectionFiles(selection: Selection): readonly TreeEntry[] {
  const files = new Map<TreeEntry, TreeEntry>();
  for (const item of selection.items) {
    if (item.kind !== 'entries') continue;
    for (const { entry } of item.entries) {
      if (entry.kind === 'file' && entry.contentDigest === undefined) files.set(entry, entry);
    }
  }
  return [...files.keys()];
}

/**
 * The content key of a COPY: names, kinds, modes, owners, link targets, extended attributes and content. Not the times:
 * touching a file does not miss the cache. Of a source folder itself only its being a folder counts, for its metadata
 * is not copied.
 * @param digests content digests by entry, for what `selectionFiles` named
 */
export function selectionDigest(selection: Selection, digests: ReadonlyMap<TreeEntry, Digest>): Digest {
  const hash = createHash('sha256');
  for (const item of selection.items) {
    if (item.kind !== 'entries') continue;
    hash.update(`${canonicalJson(['source', item.name, item.unpack])}\n`);
    const links = new Map<number, string>();
    for (const { relative, entry, implied } of item.entries) {
      const root = relative === '' && entry.kind === 'directory';
      const first = entry.kind === 'file' ? links.get(entry.inode) : undefined;
      if (entry.kind === 'file' && first === undefined) links.set(entry.inode, relative);
      hash.update(
        `${canonicalJson([
          relative,
          entry.kind,
          root ? undefined : [entry.mode, entry.uid, entry.gid, implied],
          entry.linkTarget,
          entry.device,
          entry.xattrs &&
            [...entry.xattrs].map(([name, value]) => [name, Buffer.from(value).toString('base64')]).sort(),
          first ?? (entry.kind === 'file' ? (entry.contentDigest ?? digests.get(entry)) : undefined),
        ])}\n`,
      );
    }
  }
  return digestOf(hash.digest());
}
