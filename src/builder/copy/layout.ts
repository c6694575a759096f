/**
 * Where the entries of a selection land: the layer of a COPY or ADD, as a pure function of the selection and the
 * destination tree. The rules are those of fsutil's copier, which BuildKit runs on a mounted root file system:
 *
 * - the destination is resolved through symlinks inside the tree once; below it nothing is followed;
 * - folders that are missing above or at it are made with 0755 (or an octal --chmod) and --chown's owner or root;
 * - a folder source gives its contents: the destination keeps its mode and owner and takes the source's time, folders
 *   below it take all of the source's metadata;
 * - a file replaces a file or a symlink, never a folder; a folder never replaces anything else.
 *
 * Invariant: the tree is only read, and every entry lies below the root.
 */
import { type BytePath, bytePathFromText, bytePathToText, TsbuildError } from '../../core/index.ts';
import { entryAt, type LayerEntry, type Tree } from '../../layers/index.ts';
import { ancestorsOf, joinPath, parentOf } from '../context/index.ts';
import { LayerDraft, newFolder } from './layer-draft.ts';
import { layoutArchive } from './layout-archive.ts';
import { applyMode, type ModeChange, parseMode } from './mode.ts';
import { type CopyOperation, destinationIsFolder } from './operation.ts';
import { type Owner, resolveOwner } from './owner.ts';
import type { SelectedEntry, SelectedItem, Selection } from './selection.ts';

export interface LayoutOptions {
  /** The time of folders that the copy itself makes, nanoseconds since 1970. */
  readonly createdMtime: bigint;
}

export interface Layout {
  readonly draft: LayerDraft;
  readonly operation: CopyOperation;
  readonly owner: Owner | undefined;
  readonly change: ModeChange | undefined;
  readonly mtime: bigint;
}

/**
 * The entries of the new layer, sorted, parents first; existing parents come along as they are.
 * @param destination the tree the layer goes on top of; undefined for `--link`, which depends on nothing beneath
 * @throws TsbuildError `copy-onto-directory`, `copy-onto-file`, `copy-destination-not-folder`, `copy-owner-unknown`,
 * `copy-mode-invalid`, `path-loop`, `file-too-large`
 */
export async function layoutCopy(
  selection: Selection,
  operation: CopyOperation,
  destination: Tree | undefined,
  options: LayoutOptions,
): Promise<LayerEntry[]> {
  const layout: Layout = {
    draft: new LayerDraft(destination),
    operation,
    owner: operation.chown ? await resolveOwner(operation.chown, destination, operation.location) : undefined,
    change: operation.chmod ? parseMode(operation.chmod, operation.location) : undefined,
    mtime: options.createdMtime,
  };
  for (const item of selection.items) {
    if (item.kind === 'archive') layoutArchive(layout, item.entries, targetOf(layout));
    else layoutItem(layout, item);
  }
  return layout.draft.finish({ owner: layout.owner ?? root, mtime: layout.mtime });
}

const root: Owner = { uid: 0, gid: 0 };

function layoutItem(layout: Layout, item: Extract<SelectedItem, { kind: 'entries' }>): void {
  const [source, ...below] = item.entries;
  if (!source) return;
  const { draft, operation } = layout;
  const written = pathOf(operation);
  makeFolders(layout, draft.resolve(destinationIsFolder(operation.destination) ? written : parentOf(written)));
  const target = draft.resolve(written);
  const present = draft.lookup(target);
  if (source.entry.kind === 'directory') {
    if (present && present.kind !== 'directory') throw ontoFile(layout, target);
    makeFolders(layout, target);
    const folder = draft.lookup(target);
    if (folder && target !== '') draft.put(entryAt(target, folder, { mtime: source.entry.mtime }));
    layoutBelow(layout, target, below);
    return;
  }
  if (present?.kind !== 'directory' && item.several) throw severalOnto(layout, target);
  const place = present?.kind === 'directory' ? joinPath(target, item.name) : target;
  makeFolders(layout, parentOf(place));
  layoutEntry(layout, place, source);
}

function layoutBelow(layout: Layout, target: BytePath, entries: readonly SelectedEntry[]): void {
  const groups = new Map<number, symbol>();
  for (const selected of entries) {
    const { entry } = selected;
    let group: symbol | undefined;
    if (entry.kind === 'file' && entry.inode !== 0) {
      group = groups.get(entry.inode) ?? Symbol(entry.path);
      groups.set(entry.inode, group);
    }
    layoutEntry(layout, joinPath(target, selected.relative), selected, group);
  }
}

function layoutEntry(layout: Layout, place: BytePath, selected: SelectedEntry, group?: symbol): void {
  const { draft, change, owner } = layout;
  const { entry } = selected;
  const present = draft.lookup(place);
  const isDirectory = entry.kind === 'directory';
  if (isDirectory && present && present.kind !== 'directory') throw ontoFile(layout, place);
  if (!isDirectory && present?.kind === 'directory') throw ontoDirectory(layout, place);
  if (isDirectory && present && selected.implied) {
    draft.put(entryAt(place, present, { mode: entry.mode }));
    return;
  }
  const xattrs = isDirectory && present?.xattrs ? new Map([...present.xattrs, ...(entry.xattrs ?? [])]) : entry.xattrs;
  draft.put(
    entryAt(place, entry, {
      mode: entry.kind === 'symlink' ? entry.mode : applyMode(change, entry.mode, isDirectory),
      uid: owner?.uid ?? entry.uid,
      gid: owner?.gid ?? entry.gid,
      ...(xattrs && xattrs.size > 0 ? { xattrs } : {}),
    }),
    group,
  );
}

/** Makes a folder and those above it that are missing. @throws TsbuildError `copy-onto-file` */
export function makeFolders(layout: Layout, path: BytePath): void {
  if (path === '') return;
  const mode = layout.change?.kind === 'absolute' ? layout.change.mode & 0o777 : 0o755;
  for (const folder of [...ancestorsOf(path), path]) {
    const present = layout.draft.lookup(folder);
    if (present && present.kind !== 'directory') throw ontoFile(layout, folder);
    if (!present) layout.draft.put(newFolder(folder, mode, layout.owner ?? root, layout.mtime));
  }
}

/** The folder an archive is unpacked into, made when missing. */
function targetOf(layout: Layout): BytePath {
  const target = layout.draft.resolve(pathOf(layout.operation));
  makeFolders({ ...layout, change: undefined }, target);
  return target;
}

/** The destination from the root, its `..` and `.` taken out as text, as BuildKit does before it looks at the tree. */
function pathOf(operation: CopyOperation): BytePath {
  const { destination, workdir } = operation;
  const kept: string[] = [];
  for (const component of (destination.startsWith('/') ? destination : `${workdir}/${destination}`).split('/')) {
    if (component === '..') kept.pop();
    else if (component !== '' && component !== '.') kept.push(component);
  }
  return bytePathFromText(kept.join('/'));
}

function ontoDirectory(layout: Layout, place: BytePath): TsbuildError {
  return failure(
    layout,
    'copy-onto-directory',
    `a file cannot replace the directory /${bytePathToText(place)}`,
    'Remove the directory in an earlier RUN, or choose another destination.',
  );
}

function ontoFile(layout: Layout, place: BytePath): TsbuildError {
  const kind = layout.draft.lookup(place)?.kind === 'symlink' ? 'a symbolic link' : 'not a directory';
  return failure(
    layout,
    'copy-onto-file',
    `a directory cannot be copied to /${bytePathToText(place)}, which is ${kind}`,
    kind === 'a symbolic link'
      ? `Copy to the directory /${bytePathToText(place)} points to.`
      : 'Remove it in an earlier RUN, or choose another destination.',
  );
}

function severalOnto(layout: Layout, target: BytePath): TsbuildError {
  return failure(
    layout,
    'copy-destination-not-folder',
    `the sources match several files, so the destination must be a directory: /${bytePathToText(target)} is none`,
    `Write ${JSON.stringify(`${layout.operation.destination}/`)}.`,
  );
}

function failure(
  layout: Layout,
  code: 'copy-onto-directory' | 'copy-onto-file' | 'copy-destination-not-folder',
  message: string,
  hint: string,
): TsbuildError {
  const { location } = layout.operation;
  return new TsbuildError({ code, message, hint, ...(location ? { source: location } : {}) });
}
