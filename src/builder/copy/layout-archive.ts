/**
 * An unpacked archive in the destination, as `tar x` in a chroot at the destination would leave it: later entries win,
 * what is in the way of an entry is replaced (folders are merged), and names are resolved with the destination as root.
 * So `ADD` to `/` of an entry below `var/run/` goes through the image's own symlink, and `..` climbs no higher.
 * Invariant: no entry gets a path outside the tree, whatever the archive says.
 */
import { type BytePath, bytePathToText, TsbuildError } from '../../core/index.ts';
import { entryAt, type LayerEntry } from '../../layers/index.ts';
import { ancestorsOf, baseName, joinPath, parentOf, resolveInTree } from '../context/tree-path.ts';
import type { LayerDraft } from './layer-draft.ts';
import { newFolder } from './layer-draft.ts';
import type { Owner } from './owner.ts';

export interface ArchiveTarget {
  readonly draft: LayerDraft;
  /** Overrides the owners of the archive. */
  readonly owner: Owner | undefined;
  /** The time of folders the archive does not name. */
  readonly mtime: bigint;
}

/**
 * @param entries in the archive's order
 * @param target an existing folder
 * @throws TsbuildError `archive-invalid` for an entry below a file, and a hard link to nothing
 */
export function layoutArchive(to: ArchiveTarget, entries: readonly LayerEntry[], target: BytePath): void {
  for (const entry of entries) {
    const { folder, name } = inside(to, target, entry.path);
    // The archive's own root says nothing about the destination.
    if (name === '') continue;
    makeWay(to, folder, entry);
    const place = joinPath(folder, name);
    if (entry.kind !== 'directory') to.draft.clearBelow(place);
    if (entry.kind === 'hardlink') link(to, target, place, entry);
    else to.draft.put(owned(to, place, entry));
  }
}

function link(to: ArchiveTarget, target: BytePath, place: BytePath, entry: LayerEntry): void {
  const { folder, name } = inside(to, target, entry.linkTarget ?? '');
  if (to.draft.link(place, joinPath(folder, name))) return;
  throw invalid(
    entry,
    `is a hard link to ${JSON.stringify(bytePathToText(entry.linkTarget ?? ''))}, which is not there`,
  );
}

/** The folder of an entry, resolved from the target as root, and its own name. */
function inside(to: ArchiveTarget, target: BytePath, name: string): { folder: BytePath; name: BytePath } {
  const clean: string[] = [];
  for (const component of name.split('/')) {
    if (component === '..') clean.pop();
    else if (component !== '' && component !== '.') clean.push(component);
  }
  const path = clean.join('/');
  if (path === '') return { folder: target, name: '' as BytePath };
  const folder = resolveInTree(parentOf(path), (at) => to.draft.lookup(joinPath(target, at)));
  return { folder: joinPath(target, folder), name: baseName(path) };
}

/** Makes the folders an archive does not name itself. */
function makeWay(to: ArchiveTarget, folder: BytePath, entry: LayerEntry): void {
  if (folder === '') return;
  for (const path of [...ancestorsOf(folder), folder]) {
    const present = to.draft.lookup(path);
    if (present && present.kind !== 'directory')
      throw invalid(entry, `lies below ${bytePathToText(path)}, which is no directory`);
    if (!present) to.draft.put(newFolder(path, 0o755, { uid: 0, gid: 0 }, to.mtime));
  }
}

function owned(to: ArchiveTarget, place: BytePath, entry: LayerEntry): LayerEntry {
  return entryAt(place, entry, {
    // Linux gives a symlink no mode of its own.
    mode: entry.kind === 'symlink' ? 0o777 : entry.mode,
    ...(to.owner ? { uid: to.owner.uid, gid: to.owner.gid } : {}),
  });
}

function invalid(entry: LayerEntry, problem: string): TsbuildError {
  return new TsbuildError({
    code: 'archive-invalid',
    message: `the entry ${JSON.stringify(bytePathToText(entry.path))} of an archive ${problem}`,
    hint: 'Make the archive again.',
  });
}
