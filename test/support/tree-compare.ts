/**
 * The tree an image amounts to, flattened without src/, and readable differences between two of them.
 * Invariant: a difference that is not listed as expected is found, whichever side it is on.
 */
import { createHash } from 'node:crypto';
import type { ReadImage } from './image-files.ts';
import { readTar, type TarEntry, type TarKind } from './plain-tar.ts';

export interface TreeNode {
  readonly type: Exclude<TarKind, 'hardlink'>;
  /** Octal, `0755`. Symlinks have none. */
  readonly mode?: string;
  readonly uid: number;
  readonly gid: number;
  readonly size?: number;
  readonly sha256?: string;
  /** The text itself of files of up to 80 printable bytes: so that a difference can be read. */
  readonly text?: string;
  readonly target?: string;
  readonly device?: string;
  readonly xattrs?: Readonly<Record<string, string>>;
  /** The other names of the same file, sorted. */
  readonly links?: readonly string[];
  /** Whole seconds since 1970. */
  readonly mtime: number;
}

export type FlatTree = ReadonlyMap<string, TreeNode>;

/** Applies the layers in order (OCI image spec layer.md, "Whiteouts"). Paths without leading slash; the root is ''. */
export function flatten(image: ReadImage): FlatTree {
  let tree = new Map<string, TreeNode>();
  for (const layer of image.layers) tree = applied(tree, readTar(layer));
  return tree;
}

function applied(lower: ReadonlyMap<string, TreeNode>, entries: readonly TarEntry[]): Map<string, TreeNode> {
  const tree = new Map(lower);
  for (const { path } of entries) {
    const [folder, name] = splitPath(path);
    if (name === '.wh..wh..opq') removeBelow(tree, folder);
    else if (name.startsWith('.wh.')) removeAll(tree, joinPath(folder, name.slice('.wh.'.length)));
  }
  const groups = new Map<string, string[]>();
  for (const entry of entries) {
    if (splitPath(entry.path)[1].startsWith('.wh.')) continue;
    if (entry.kind !== 'directory' || tree.get(entry.path)?.type !== 'directory') removeAll(tree, entry.path);
    if (entry.kind !== 'hardlink') {
      tree.set(entry.path, nodeOf(entry));
      continue;
    }
    const target = tree.get(entry.linkTarget ?? '');
    if (target === undefined) throw new Error(`${entry.path} is a hardlink to ${entry.linkTarget}, which is not there`);
    tree.set(entry.path, target);
    const group = groups.get(entry.linkTarget ?? '') ?? [entry.linkTarget ?? ''];
    groups.set(entry.linkTarget ?? '', [...group, entry.path]);
  }
  for (const group of groups.values()) {
    const links = [...new Set(group)].sort();
    for (const path of links) {
      const node = tree.get(path);
      if (node) tree.set(path, { ...node, links });
    }
  }
  return tree;
}

function nodeOf(entry: TarEntry): TreeNode {
  if (entry.kind === 'hardlink') throw new Error('a hardlink is the node it links to');
  const { content } = entry;
  return {
    type: entry.kind,
    ...(entry.kind !== 'symlink' && { mode: entry.mode.toString(8).padStart(4, '0') }),
    uid: entry.uid,
    gid: entry.gid,
    ...(content && { size: content.length, sha256: createHash('sha256').update(content).digest('hex') }),
    ...(content && isShortText(content) && { text: content.toString('latin1') }),
    ...(entry.linkTarget !== undefined && { target: entry.linkTarget }),
    ...(entry.device !== undefined && { device: entry.device }),
    ...(entry.xattrs && { xattrs: entry.xattrs }),
    mtime: Math.floor(entry.mtime),
  };
}

function isShortText(content: Buffer): boolean {
  return content.length <= 80 && content.every((byte) => byte === 0x0a || (byte >= 0x20 && byte < 0x7f));
}

function splitPath(path: string): [folder: string, name: string] {
  const slash = path.lastIndexOf('/');
  return [slash < 0 ? '' : path.slice(0, slash), path.slice(slash + 1)];
}

function joinPath(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

function removeBelow(tree: Map<string, TreeNode>, folder: string): void {
  for (const path of tree.keys()) {
    if (folder === '' ? path !== '' : path.startsWith(`${folder}/`)) tree.delete(path);
  }
}

function removeAll(tree: Map<string, TreeNode>, path: string): void {
  const node = tree.get(path);
  if (node === undefined) return;
  if (node.type === 'directory') removeBelow(tree, path);
  tree.delete(path);
}

export interface TreeComparison {
  /** Members that are not compared: `mtime` nearly always, `links` where a tool breaks hardlinks. */
  readonly without: readonly (keyof TreeNode)[];
  /** Paths not compared; one with a trailing slash stands for everything below it as well. */
  readonly ignore?: readonly string[];
}

/** One line for each difference; [] when the trees are equal. The root itself is not compared: not every tool writes it. */
export function treeDifferences(
  ours: FlatTree,
  theirs: FlatTree,
  theirName: string,
  { without, ignore = [] }: TreeComparison,
): string[] {
  const ignored = (path: string) =>
    ignore.some((name) => path === name || (name.endsWith('/') && `${path}/`.startsWith(name)));
  const lines: string[] = [];
  for (const path of [...new Set([...ours.keys(), ...theirs.keys()])].sort()) {
    if (path === '' || ignored(path)) continue;
    const [mine, other] = [ours.get(path), theirs.get(path)];
    if (mine === undefined) lines.push(`/${path}: only ${theirName} has it (${describe(other, without)})`);
    else if (other === undefined) lines.push(`/${path}: only tsbuild has it (${describe(mine, without)})`);
    else lines.push(...memberDifferences(path, mine, other, theirName, without));
  }
  return lines;
}

function memberDifferences(
  path: string,
  mine: TreeNode,
  other: TreeNode,
  theirName: string,
  without: readonly (keyof TreeNode)[],
): string[] {
  const members = [...new Set([...Object.keys(mine), ...Object.keys(other)])] as (keyof TreeNode)[];
  return (
    members
      .filter((member) => !without.includes(member))
      // Directories get the time at which their last entry was made, except in a builder that gives them a fixed one.
      .filter((member) => member !== 'mtime' || mine.type !== 'directory')
      .filter((member) => JSON.stringify(mine[member]) !== JSON.stringify(other[member]))
      .map(
        (member) =>
          `/${path}: ${member} is ${JSON.stringify(mine[member])}, ${theirName} has ${JSON.stringify(other[member])}`,
      )
  );
}

function describe(node: TreeNode | undefined, without: readonly (keyof TreeNode)[]): string {
  return Object.entries(node ?? {})
    .filter(([member]) => member !== 'sha256' && !without.includes(member as keyof TreeNode))
    .map(([member, value]) => `${member} ${JSON.stringify(value)}`)
    .join(', ');
}
