/**
 * Which entries of the source tree a COPY or ADD takes. A pure function of the tree and the operation, following
 * BuildKit's dispatchCopy and fsutil's copier: wildcards by filepath.Match, symlinks that are named (or matched) are
 * followed inside the tree, those below a folder are copied as they are, folders give their contents.
 */
import { type BytePath, bytePathFromText, type SourceLocation, TsbuildError } from '../../core/index.ts';
import type { Tree, TreeEntry } from '../../layers/index.ts';
import {
  baseName,
  cleanPath,
  expandGlob,
  hasMagic,
  joinPath,
  PatternSet,
  patternProblem,
  rootPath,
} from '../context/index.ts';
import { sourceMissing } from './missing.ts';
import { type CopyOperand, type CopyOperation, destinationIsFolder } from './operation.ts';
import type { SelectedEntry, SelectedItem, Selection } from './selection.ts';

export interface SelectOptions {
  /** For messages: `the build context`, `stage "build"`. */
  readonly sourceName?: string;
}

/**
 * @throws TsbuildError `copy-source-missing`, `copy-pattern-invalid`, `copy-destination-not-folder`, and what reading
 * the source tree throws
 */
export function selectCopy(source: Tree, operation: CopyOperation, options: SelectOptions = {}): Selection {
  requireFolder(operation);
  const excludes = compilePatterns(operation.excludes, operation.location);
  const name = options.sourceName ?? 'the build context';
  return { items: operation.operands.flatMap((operand) => itemsOf(source, operation, operand, excludes, name)) };
}

function itemsOf(
  source: Tree,
  operation: CopyOperation,
  operand: CopyOperand,
  excludes: PatternSet,
  sourceName: string,
): readonly SelectedItem[] {
  if (operand.kind === 'file') return [fileItem(operand)];
  if (operand.kind === 'tree') {
    const root = operand.tree.lookup(rootPath);
    return root ? [item(rootPath, walkFolder(operand.tree, root, undefined, excludes), false, false)] : [];
  }
  const unpack = operation.unpack ?? operation.kind === 'add';
  try {
    return operation.parents
      ? withParents(source, operand.text, excludes, sourceName)
      : byPattern(source, operand.text, excludes, unpack, sourceName);
  } catch (error) {
    throw located(error, operand.location ?? operation.location);
  }
}

function fileItem(operand: Extract<CopyOperand, { kind: 'file' }>): SelectedItem {
  const path = bytePathFromText(operand.name);
  const entry: TreeEntry = {
    path,
    kind: 'file',
    mode: operand.mode,
    uid: 0,
    gid: 0,
    size: operand.size,
    mtime: operand.mtime,
    inode: 0,
    content: operand.content,
    ...(operand.digest ? { contentDigest: operand.digest } : {}),
  };
  return item(path, [{ relative: rootPath, entry, implied: false }], false, operand.unpack === true);
}

/** Without --parents: every match is a file, or a folder whose contents are taken. */
function byPattern(
  source: Tree,
  text: string,
  excludes: PatternSet,
  unpack: boolean,
  sourceName: string,
): readonly SelectedItem[] {
  const pattern = fromRoot(text);
  const matches = expandGlob(source, pattern);
  const magic = hasMagic(pattern);
  const items: SelectedItem[] = [];
  for (const match of matches) {
    const entry = source.lookup(source.resolve(match, { followLast: true }));
    if (!entry) throw sourceMissing(source, text, match, sourceName);
    const name = baseName(match);
    // A file a wildcard found is subject to --exclude by its name, as the reference's examples show; a named one is not.
    if (magic && entry.kind !== 'directory' && excludes.match(excludes.root, name).matched) continue;
    const entries =
      entry.kind === 'directory'
        ? walkFolder(source, entry, undefined, excludes)
        : [{ relative: rootPath, entry, implied: false }];
    items.push(item(name, entries, matches.length > 1, unpack && entry.kind === 'file'));
  }
  return items;
}

/** With --parents: what the pattern matches keeps its path below the pivot `/./`, or below the root. */
function withParents(source: Tree, text: string, excludes: PatternSet, sourceName: string): readonly SelectedItem[] {
  const pivot = text.indexOf('/./');
  const base = pivot < 0 ? '' : fromRoot(text.slice(0, pivot));
  const pattern = fromRoot(pivot < 0 ? text : text.slice(pivot + 3));
  const includes = pattern === '' ? undefined : compilePatterns([pattern]);
  const items: SelectedItem[] = [];
  for (const match of expandGlob(source, base)) {
    const root = source.lookup(source.resolve(match, { followLast: true }));
    if (!root) throw sourceMissing(source, text, match, sourceName);
    const entries =
      root.kind === 'directory'
        ? walkFolder(source, root, includes, excludes)
        : [{ relative: rootPath, entry: root, implied: false }];
    items.push(item(baseName(match), entries, false, false));
  }
  const taken = items.some((found) => found.kind === 'entries' && found.entries.length > 1);
  if (!taken && pattern !== '' && !hasMagic(base) && !hasMagic(pattern)) {
    throw sourceMissing(source, text, bytePathFromText(joinPath(base, pattern)), sourceName);
  }
  return items;
}

/** A folder and what is below it: included, not excluded, and the folders in between. */
function walkFolder(
  tree: Tree,
  root: TreeEntry,
  includes: PatternSet | undefined,
  excludes: PatternSet,
): readonly SelectedEntry[] {
  const taken: SelectedEntry[] = [{ relative: rootPath, entry: root, implied: false }];
  if (includes === undefined && excludes.isEmpty) takeAll(tree, root.path, belowOf(root.path), taken);
  else takeMatching(tree, root, includes, excludes, taken);
  return taken;
}

/** Where the names of what lies below a directory begin in its path. */
function belowOf(path: BytePath): number {
  return path === '' ? 0 : path.length + 1;
}

/** Most COPYs leave nothing out, and some take many thousand files. */
function takeAll(tree: Tree, folder: BytePath, below: number, taken: SelectedEntry[]): void {
  for (const entry of tree.list(folder)) {
    const { path } = entry;
    taken.push({ relative: below === 0 ? path : (path.slice(below) as BytePath), entry, implied: false });
    if (entry.kind === 'directory') takeAll(tree, path, below, taken);
  }
}

function takeMatching(
  tree: Tree,
  root: TreeEntry,
  includes: PatternSet | undefined,
  excludes: PatternSet,
  taken: SelectedEntry[],
): void {
  const start = belowOf(root.path);
  /** Folders that are taken as soon as something below them is. */
  const waiting: SelectedEntry[] = [];
  const take = (selected: SelectedEntry): void => {
    taken.push(...waiting.splice(0), selected);
  };
  const visit = (folder: BytePath, including: PatternSet['root'] | undefined, excluding: PatternSet['root']): void => {
    for (const entry of tree.list(folder)) {
      const name = baseName(entry.path);
      const relative = entry.path.slice(start) as BytePath;
      const included = includes && including ? includes.match(including, name) : undefined;
      const excluded = excludes.match(excluding, name);
      const matches = (included?.matched ?? true) && !excluded.matched;
      if (entry.kind !== 'directory') {
        if (matches) take({ relative, entry, implied: false });
        continue;
      }
      const inside = includes && including && included ? includes.enter(including, name, included) : undefined;
      const outside = excludes.enter(excluding, name, excluded);
      if (matches) take({ relative, entry, implied: false });
      else if (excluded.matched && !excludes.mayChangeBelow(outside, 'exception')) continue;
      else if (included?.matched === false && inside && !includes?.mayChangeBelow(inside, 'include')) continue;
      else waiting.push({ relative, entry, implied: true });
      visit(entry.path, inside, outside);
      if (waiting.at(-1)?.relative === relative) waiting.pop();
    }
  };
  visit(root.path, includes?.root, excludes.root);
}

function item(name: BytePath, entries: readonly SelectedEntry[], several: boolean, unpack: boolean): SelectedItem {
  return { kind: 'entries', name, entries, several, unpack };
}

/** Relative to the root of the tree: leading `/` and `../` go nowhere else. */
function fromRoot(text: string): string {
  return cleanPath(`/${text}`).slice(1);
}

function compilePatterns(patterns: readonly string[], location?: SourceLocation): PatternSet {
  const cleaned = patterns.map((pattern) => cleanPath(pattern.trim())).filter((pattern) => pattern !== '.');
  for (const pattern of cleaned) {
    const problem = patternProblem(pattern);
    if (problem === undefined) continue;
    throw new TsbuildError({
      code: 'copy-pattern-invalid',
      message: `the pattern ${JSON.stringify(pattern)} is not valid: ${problem}`,
      hint: 'Write a backslash before a [, a ] or a \\ that stands for itself.',
      ...(location ? { source: location } : {}),
    });
  }
  return new PatternSet(cleaned);
}

function requireFolder(operation: CopyOperation): void {
  if (operation.operands.length < 2 || destinationIsFolder(operation.destination)) return;
  const keyword = operation.kind.toUpperCase();
  throw new TsbuildError({
    code: 'copy-destination-not-folder',
    message: `${keyword} has ${operation.operands.length} sources, so its destination must be a directory: ${JSON.stringify(operation.destination)} does not end in /`,
    hint: `Write ${JSON.stringify(`${operation.destination}/`)}.`,
    ...(operation.location ? { source: operation.location } : {}),
  });
}

function located(error: unknown, location: SourceLocation | undefined): unknown {
  if (!(error instanceof TsbuildError) || error.source || !location) return error;
  return new TsbuildError({
    code: error.code,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    source: location,
    cause: error.cause,
  });
}
