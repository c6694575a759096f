/**
 * The content key of a COPY: names, kinds, modes, owners, link targets, extended attributes and content. Not the times:
 * touching a file does not miss the cache. Of a source folder itself only its being a folder counts, for its metadata
 * is not copied.
 * Invariant: the bytes that are hashed can be read back in one way only, so two selections of one digest are the same.
 * They are part of every cache key: a change of their form makes every COPY run again.
 */
import { createDigestHasher, type Digest } from '../../image/index.ts';
import type { EntryKind, TreeEntry } from '../../layers/index.ts';
import type { SelectedEntry, SelectedItem, Selection } from './selection.ts';

/** The files whose content digest `selectionDigest` needs and that do not carry one. */
export function selectionFiles(selection: Selection): readonly TreeEntry[] {
  const files: TreeEntry[] = [];
  for (const item of selection.items) {
    if (item.kind !== 'entries') continue;
    for (const { entry } of item.entries) {
      if (entry.kind === 'file' && entry.contentDigest === undefined) files.push(entry);
    }
  }
  // Two sources may name one file.
  return selection.items.length > 1 ? [...new Set(files)] : files;
}

/** @param digests content digests by entry, for what `selectionFiles` named */
export function selectionDigest(selection: Selection, digests: ReadonlyMap<TreeEntry, Digest>): Digest {
  const writer = new KeyWriter();
  for (const item of selection.items) if (item.kind === 'entries') addItem(writer, item, digests);
  return writer.digest();
}

/** A place in this list, counted from 1, stands for the kind; 0 ends an item. */
const kinds: readonly EntryKind[] = ['file', 'directory', 'symlink', 'hardlink', 'fifo', 'char', 'block'];

/** What follows in the record of an entry. */
const has = { metadata: 0x10, implied: 0x20, link: 0x40, device: 0x80, xattrs: 0x100, first: 0x200, digest: 0x400 };

function addItem(
  writer: KeyWriter,
  item: Extract<SelectedItem, { kind: 'entries' }>,
  digests: ReadonlyMap<TreeEntry, Digest>,
): void {
  writer.number(item.unpack ? 2 : 1);
  writer.text(item.name);
  /** The first name of each file: those of one inode are links of one another. */
  const links = new Map<number, string>();
  for (const selected of item.entries) {
    const { entry, relative } = selected;
    if (entry.kind !== 'file') {
      addEntry(writer, selected, undefined, undefined);
      continue;
    }
    const first = links.get(entry.inode);
    if (first === undefined) links.set(entry.inode, relative);
    addEntry(writer, selected, first, first === undefined ? (entry.contentDigest ?? digests.get(entry)) : undefined);
  }
  writer.number(0);
}

function addEntry(
  writer: KeyWriter,
  { relative, entry, implied }: SelectedEntry,
  first: string | undefined,
  digest: Digest | undefined,
): void {
  const { linkTarget, device, xattrs } = entry;
  const isSource = relative === '' && entry.kind === 'directory';
  writer.number(
    (kinds.indexOf(entry.kind) + 1) |
      (isSource ? 0 : has.metadata) |
      (implied && !isSource ? has.implied : 0) |
      (linkTarget === undefined ? 0 : has.link) |
      (device === undefined ? 0 : has.device) |
      (xattrs === undefined ? 0 : has.xattrs) |
      (first === undefined ? 0 : has.first) |
      (digest === undefined ? 0 : has.digest),
  );
  writer.text(relative);
  if (!isSource) {
    writer.number(entry.mode);
    writer.number(entry.uid);
    writer.number(entry.gid);
  }
  if (linkTarget !== undefined) writer.text(linkTarget);
  if (device !== undefined) writer.text(`${device.major}:${device.minor}`);
  if (xattrs !== undefined) {
    writer.number(xattrs.size);
    for (const name of [...xattrs.keys()].sort()) {
      writer.text(name);
      writer.text(Buffer.from(xattrs.get(name) ?? []).toString('latin1'));
    }
  }
  if (first !== undefined) writer.text(first);
  if (digest !== undefined) writer.text(digest);
}

/** Hashes numbers as 32 bits, little-endian, and texts of one byte a code unit after their length. */
class KeyWriter {
  readonly #hasher = createDigestHasher();
  readonly #buffer = Buffer.allocUnsafe(64 * 1024);
  #used = 0;

  number(value: number): void {
    this.#reserve(4);
    this.#used = this.#buffer.writeUInt32LE(value, this.#used);
  }

  text(text: string): void {
    this.number(text.length);
    if (text.length > this.#buffer.length) {
      this.#flush();
      this.#hasher.update(Buffer.from(text, 'latin1'));
      return;
    }
    this.#reserve(text.length);
    this.#used += this.#buffer.write(text, this.#used, 'latin1');
  }

  digest(): Digest {
    this.#flush();
    return this.#hasher.digest();
  }

  #reserve(size: number): void {
    if (this.#used + size > this.#buffer.length) this.#flush();
  }

  #flush(): void {
    this.#hasher.update(this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }
}
