/**
 * The content key of a COPY: names, kinds, modes, owners, link targets, extended attributes and content. Not the times:
 * touching a file does not miss the cache. Of a source folder itself only its being a folder counts, for its metadata
 * is not copied.
 * Invariant: the bytes that are hashed can be read back in one way only, so two selections of one digest are the same.
 * They are part of every cache key: a change of their form makes every COPY run again.
 */
import { endianness } from 'node:os';
import { createDigestHasher, type Digest, type DigestHasher } from '../../image/index.ts';
import type { EntryKind, TreeEntry } from '../../layers/index.ts';
import type { SelectedEntry, SelectedItem, Selection } from './selection.ts';

/** Every file of a selection, once. */
export function selectedFiles(selection: Selection): readonly TreeEntry[] {
  const files: TreeEntry[] = [];
  for (const item of selection.items) {
    if (item.kind !== 'entries') continue;
    for (const { entry } of item.entries) if (entry.kind === 'file') files.push(entry);
  }
  // Two sources may name one file.
  return selection.items.length > 1 ? [...new Set(files)] : files;
}

/** Those whose content digest `selectionDigest` needs and that do not carry one. */
export function selectionFiles(selection: Selection): readonly TreeEntry[] {
  return selectedFiles(selection).filter((entry) => entry.contentDigest === undefined);
}

/** Content digests of file entries: a map, or what makes them when they are asked for. */
export interface EntryDigests {
  get(entry: TreeEntry): Digest | undefined;
}

/** Raised with every change of what is selected, or of what is hashed of it: digests are remembered (ContextScan). */
export const selectionVersion = 1;

/** @param digests of what `selectionFiles` named */
export function selectionDigest(selection: Selection, digests: EntryDigests): Digest {
  const hasher = createDigestHasher();
  for (const item of selection.items) {
    if (item.kind !== 'entries') continue;
    const key = new KeyColumns();
    addItem(key, item, digests);
    key.hashInto(hasher);
  }
  return hasher.digest();
}

/** A place in this list stands for the kind. */
const kinds: readonly EntryKind[] = ['file', 'directory', 'symlink', 'hardlink', 'fifo', 'char', 'block'];

/** What the columns have of an entry beside its kind and path. */
const has = { metadata: 0x10, implied: 0x20, link: 0x40, device: 0x80, xattrs: 0x100, first: 0x200, digest: 0x400 };

function addItem(key: KeyColumns, item: Extract<SelectedItem, { kind: 'entries' }>, digests: EntryDigests): void {
  key.number(item.unpack ? 1 : 0);
  key.text(item.name);
  /** The first name of each file: those of one inode are links of one another. */
  const links = new Map<number, string>();
  for (const selected of item.entries) {
    const { entry, relative } = selected;
    if (entry.kind !== 'file') {
      addEntry(key, selected, undefined, undefined);
      continue;
    }
    const first = entry.inode === 0 ? undefined : links.get(entry.inode);
    if (entry.inode !== 0 && first === undefined) links.set(entry.inode, relative);
    addEntry(key, selected, first, first === undefined ? (entry.contentDigest ?? digests.get(entry)) : undefined);
  }
}

function addEntry(
  key: KeyColumns,
  { relative, entry, implied }: SelectedEntry,
  first: string | undefined,
  digest: Digest | undefined,
): void {
  const { linkTarget, device, xattrs } = entry;
  const isSource = relative === '' && entry.kind === 'directory';
  key.number(
    kinds.indexOf(entry.kind) |
      (isSource ? 0 : has.metadata) |
      (implied && !isSource ? has.implied : 0) |
      (linkTarget === undefined ? 0 : has.link) |
      (device === undefined ? 0 : has.device) |
      (xattrs === undefined ? 0 : has.xattrs) |
      (first === undefined ? 0 : has.first) |
      (digest === undefined ? 0 : has.digest),
  );
  key.text(relative);
  if (!isSource) {
    key.number(entry.mode);
    key.number(entry.uid);
    key.number(entry.gid);
  }
  if (linkTarget !== undefined) key.text(linkTarget);
  if (device !== undefined) key.text(`${device.major}:${device.minor}`);
  if (xattrs !== undefined) {
    key.number(xattrs.size);
    for (const name of [...xattrs.keys()].sort()) {
      key.text(name);
      key.text(Buffer.from(xattrs.get(name) ?? []).toString('latin1'));
    }
  }
  if (first !== undefined) key.text(first);
  if (digest !== undefined) key.text(digest);
}

/** Texts that are held one by one, before they are joined. */
const textsOfPiece = 4096;

/**
 * Numbers of 32 bits, little-endian, behind their count, and then all texts, one byte a code unit; the length of each is
 * among the numbers. Two columns, because one call for many of them costs a tenth of one for each.
 */
class KeyColumns {
  #numbers = new Uint32Array(4096);
  #count = 0;
  #texts: string[] = [];
  readonly #pieces: Buffer[] = [];

  number(value: number): void {
    if (this.#count === this.#numbers.length) {
      const larger = new Uint32Array(this.#count * 2);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    this.#numbers[this.#count++] = value;
  }

  text(text: string): void {
    this.number(text.length);
    this.#texts.push(text);
    if (this.#texts.length === textsOfPiece) this.#endPiece();
  }

  hashInto(hasher: DigestHasher): void {
    const count = Buffer.from(Uint32Array.of(this.#count).buffer);
    const column = Buffer.from(this.#numbers.buffer, 0, this.#count * 4);
    if (endianness() === 'BE') {
      count.swap32();
      column.swap32();
    }
    hasher.update(count);
    hasher.update(column);
    this.#endPiece();
    for (const piece of this.#pieces) hasher.update(piece);
  }

  #endPiece(): void {
    this.#pieces.push(Buffer.from(this.#texts.join(''), 'latin1'));
    this.#texts = [];
  }
}
