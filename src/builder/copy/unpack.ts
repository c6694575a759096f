/**
 * ADD of local archives: the items of a selection that are archives become their entries. Whether a file is one its
 * content says; what is none, or an empty one, or one whose first header is broken, stays the file it is.
 */
import { rm } from 'node:fs/promises';
import { bytePathToText } from '../../core/index.ts';
import { type ArchiveLimits, readArchive } from '../context/index.ts';
import type { SelectedItem, Selection } from './selection.ts';

export interface UnpackOptions {
  /** A private folder tsbuild owns, for plain tars; they are removed when the result is disposed. */
  readonly temporary: string;
  readonly signal: AbortSignal;
  readonly limits?: ArchiveLimits;
}

export interface UnpackedSelection extends Selection, AsyncDisposable {}

/**
 * For `layoutCopy`, when the layer has to be made; keep the result until the layer is written. The content key is taken
 * from the selection before.
 * @throws TsbuildError `archive-invalid`, `archive-too-large`, `cancelled`
 */
export async function unpackArchives(selection: Selection, options: UnpackOptions): Promise<UnpackedSelection> {
  const files: string[] = [];
  const dispose = async (): Promise<void> => {
    for (const file of files) await rm(file, { force: true });
  };
  try {
    const items: SelectedItem[] = [];
    for (const item of selection.items) items.push(await unpackItem(item, options, files));
    return { items, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function unpackItem(item: SelectedItem, options: UnpackOptions, files: string[]): Promise<SelectedItem> {
  if (item.kind !== 'entries' || !item.unpack) return item;
  const entry = item.entries[0]?.entry;
  if (entry?.kind !== 'file' || !entry.content) return item;
  const archive = await readArchive(entry.content, entry.size, { ...options, name: bytePathToText(item.name) });
  if (archive.kind === 'other') return item;
  files.push(archive.file);
  return { kind: 'archive', name: item.name, entries: archive.entries };
}
