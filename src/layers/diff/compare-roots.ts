/**
 * What a step changed, from what every path was before and is after it, in the terms of a layer and as an overlay over
 * the same files would have it (upper-walk.ts): deletions are whiteouts, a directory that is another one than before is
 * opaque, a directory counts when its metadata changed or something in it did, what is as it was does not count.
 *
 * Hardlinks: an overlay takes a file apart from its other names when it is changed. So names that were there before are
 * written each for itself, and only a new name is written as a link, together with one old name of the file.
 * Invariant: changes come parents first, names in byte order. Pure.
 */
import type { BytePath } from '../../core/index.ts';
import { fileType } from '../native/stat.ts';
import { countsAsNothing, type RecordedEntry, type RecordView } from './root-record.ts';

export type RootChange =
  | { readonly kind: 'directory' | 'leaf'; readonly entry: RecordedEntry }
  | { readonly kind: 'opaque' | 'whiteout'; readonly path: BytePath };

export interface RootChanges {
  readonly changes: readonly RootChange[];
  /**
   * Regular files of which only the content can tell whether they changed: all that is recorded is equal but the time
   * of the last change of metadata. They are among the changes.
   */
  readonly undecided: readonly BytePath[];
}

/** @param unchanged files known to have the content they had */
export function compareRoots(before: RecordView, after: RecordView, unchanged: ReadonlySet<string>): RootChanges {
  const comparison = new Comparison(before, after, unchanged);
  comparison.enter('' as BytePath, true);
  return comparison;
}

class Comparison implements RootChanges {
  readonly changes: RootChange[] = [];
  readonly undecided: BytePath[] = [];
  readonly #before: RecordView;
  readonly #after: RecordView;
  readonly #unchanged: ReadonlySet<string>;
  readonly #links: ReadonlyMap<bigint, LinkGroup>;
  /** Directories on the way down that were not said to have changed. */
  readonly #pending: RecordedEntry[] = [];

  constructor(before: RecordView, after: RecordView, unchanged: ReadonlySet<string>) {
    this.#before = before;
    this.#after = after;
    this.#unchanged = unchanged;
    this.#links = linkGroups(before, after);
  }

  enter(directory: BytePath, merged: boolean): void {
    const found = this.#after.children(directory);
    const gone = merged ? this.#before.children(directory).filter((path) => !this.#after.entry(path)) : [];
    for (const path of [...found, ...gone].sort(byName)) {
      const entry = this.#after.entry(path);
      if (entry) this.#look(entry, merged ? this.#before.entry(path) : undefined);
      else this.#say({ kind: 'whiteout', path });
    }
  }

  #look(entry: RecordedEntry, before: RecordedEntry | undefined): void {
    if (countsAsNothing(entry)) return;
    if (entry.type === fileType.directory) this.#lookInto(entry, before);
    else if (this.#isChanged(entry, before)) this.#say({ kind: 'leaf', entry: this.#withLinks(entry) });
  }

  #lookInto(entry: RecordedEntry, before: RecordedEntry | undefined): void {
    const onDirectory = before?.type === fileType.directory;
    const same = onDirectory && before.inode === entry.inode;
    this.#pending.push(entry);
    const depth = this.#pending.length;
    if (!same || !sameMetadata(entry, before)) this.#flush();
    if (onDirectory && !same) this.changes.push({ kind: 'opaque', path: entry.path });
    this.enter(entry.path, same);
    if (this.#pending.length >= depth) this.#pending.pop();
  }

  #say(change: RootChange): void {
    this.#flush();
    this.changes.push(change);
  }

  #flush(): void {
    for (const entry of this.#pending.splice(0)) this.changes.push({ kind: 'directory', entry });
  }

  #isChanged(entry: RecordedEntry, before: RecordedEntry | undefined): boolean {
    if (!before || before.type !== entry.type) return true;
    if (this.#links.get(entry.inode)?.carrier === entry.path) return true;
    if (!sameMetadata(entry, before) || entry.mtime !== before.mtime || entry.size !== before.size) return true;
    if (entry.major !== before.major || entry.minor !== before.minor || entry.link !== before.link) return true;
    if (entry.type !== fileType.regular) return false;
    if (entry.inode === before.inode && entry.ctime === before.ctime) return false;
    if (entry.size === 0 || this.#unchanged.has(entry.path)) return false;
    this.undecided.push(entry.path);
    return true;
  }

  /** `links` becomes 1 for a name that is written for itself. */
  #withLinks(entry: RecordedEntry): RecordedEntry {
    const group = this.#links.get(entry.inode);
    const linked = group !== undefined && (entry.path === group.carrier || group.added.has(entry.path));
    return linked ? entry : { ...entry, links: 1 };
  }
}

/** The new names of a file with several, and the old one that is written with them. */
interface LinkGroup {
  readonly carrier: BytePath | undefined;
  readonly added: ReadonlySet<string>;
}

function linkGroups(before: RecordView, after: RecordView): Map<bigint, LinkGroup> {
  const groups = new Map<bigint, { carrier: BytePath | undefined; added: Set<string> }>();
  for (const path of after.paths) {
    const entry = after.entry(path);
    if (!entry || entry.links < 2 || entry.type === fileType.directory) continue;
    const group = groups.get(entry.inode) ?? { carrier: undefined, added: new Set<string>() };
    groups.set(entry.inode, group);
    if (before.entry(path)?.inode !== entry.inode) group.added.add(path);
    else group.carrier ??= entry.path;
  }
  for (const [inode, { added }] of groups) if (added.size === 0) groups.delete(inode);
  return groups;
}

function sameMetadata(a: RecordedEntry, b: RecordedEntry): boolean {
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && a.xattrs === b.xattrs;
}

/** Siblings in byte order of their names; code units are bytes. */
function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
