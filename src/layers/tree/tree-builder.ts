/**
 * Merges the indexes of layers, lowest first, into a tree in memory (OCI image spec, layer.md, "Applying Changesets").
 * Invariant: the same rules as on disk (apply/layer-applier.ts): parents that are symlinks are followed inside the tree,
 * entries take effect in order, whiteouts spare what their own layer brought.
 */
import type { BytePath, TsbuildError } from '../../core/index.ts';
import { normalizeName } from '../tar/layer-path.ts';
import { layerInvalid, shown } from '../tar/tar-errors.ts';
import type { LayerIndex } from './layer-index.ts';
import { type Above, baseName, childPath, parentPath, resolvePlace } from './resolve-place.ts';

/** One file, whatever number of names it has. */
export interface Inode {
  /** 0 until it has a second name. */
  id: number;
  /** The layer that describes it; -1: a directory no layer describes. */
  readonly layer: number;
  /** In the layer's index. */
  readonly entry: number;
  readonly kind: 'directory' | 'symlink' | 'leaf';
}

export interface TreeNode {
  inode: Inode;
  /** Present for directories. */
  children: Map<string, TreeNode> | undefined;
  /** The last layer that put it here or put something into it. */
  layer: number;
}

export interface Place extends Above<Place> {
  readonly path: BytePath;
  readonly node: TreeNode | undefined;
}

export class TreeBuilder {
  readonly root: TreeNode = newDirectory(undescribed, 0);
  readonly #rootPlace: Place = { parent: undefined, path: '' as BytePath, node: this.root };
  readonly #indexes: LayerIndex[] = [];
  #nextInode = 1;
  #last: { readonly name: string; readonly node: TreeNode } | undefined;

  /** Puts the next layer on top. */
  apply(index: LayerIndex): void {
    const layer = this.#indexes.push(index) - 1;
    this.#last = undefined;
    for (let entry = 0; entry < index.table.count; entry++) {
      const path = index.path(entry);
      const kind = index.kind(entry);
      if (kind === 'whiteout') this.#takeAway(path, layer);
      else if (kind === 'opaque') this.#makeOpaque(path, layer);
      else if (path === '') this.root.inode = { id: 0, layer, entry, kind: 'directory' };
      else this.#place(index, layer, entry, path);
    }
  }

  #place(index: LayerIndex, layer: number, entry: number, path: BytePath): void {
    const parent = this.#parent(path, layer);
    const name = baseName(path);
    const before = parent.children?.get(name);
    const kind = index.kind(entry);
    if (kind === 'directory') {
      const inode: Inode = { id: 0, layer, entry, kind };
      if (before?.children) {
        before.inode = inode;
        before.layer = layer;
      } else {
        this.#set(parent, name, newDirectory(inode, layer), before);
      }
      return;
    }
    const inode: Inode =
      kind === 'hardlink'
        ? this.#linked(index.linkTarget(entry), path, before)
        : { id: 0, layer, entry, kind: kind === 'symlink' ? 'symlink' : 'leaf' };
    this.#set(parent, name, { inode, children: undefined, layer }, before);
  }

  #set(parent: TreeNode, name: string, node: TreeNode, before: TreeNode | undefined): void {
    if (before !== undefined) this.#last = undefined;
    parent.children?.set(name, node);
  }

  #takeAway(path: BytePath, layer: number): void {
    const parent = this.#resolve(parentPath(path)).node;
    const node = parent?.children?.get(baseName(path));
    if (!parent || !node) return;
    if (node.layer === layer) prune(node, layer);
    // The directory is the layer's from now on: it holds the whiteout.
    else this.#parent(path, layer).children?.delete(baseName(path));
    this.#last = undefined;
  }

  #makeOpaque(path: BytePath, layer: number): void {
    if (!this.#resolve(path).node) return;
    prune(this.#parent(childPath(path, 'marker') as BytePath, layer), layer);
    this.#last = undefined;
  }

  /** @param replaced what the link takes the place of */
  #linked(target: string, path: BytePath, replaced: TreeNode | undefined): Inode {
    const own = normalizeName(target);
    const parent = this.#resolve(parentPath(own));
    const node = parent.node?.children?.get(baseName(own));
    if (!node || node.children) {
      throw layerInvalid(
        `the hardlink ${shown(path)} names ${shown(target)}, which is ${node ? 'a directory' : 'not there'}`,
      );
    }
    for (let above: Place | undefined = parent; replaced && above; above = above.parent) {
      if (above.node === replaced) throw layerInvalid(`the hardlink ${shown(path)} replaces what it names`);
    }
    if (node.inode.id === 0) node.inode.id = this.#nextInode++;
    return node.inode;
  }

  /** The directory a path is put into, made when it is missing; it and those above it belong to the layer from now on. */
  #parent(path: BytePath, layer: number): TreeNode {
    const name = parentPath(path);
    if (this.#last?.name === name) return this.#last.node;
    const chain: Place[] = [];
    for (let at: Place | undefined = this.#resolve(name); at; at = at.parent) chain.push(at);
    let node = this.root;
    for (const place of chain.reverse()) {
      if (place.parent === undefined) continue;
      const step = baseName(place.path);
      let next = node.children?.get(step);
      if (next && !next.children) throw belowFile(place.path);
      if (!next) {
        next = newDirectory(undescribed, layer);
        node.children?.set(step, next);
      }
      next.layer = layer;
      node = next;
    }
    this.#last = { name, node };
    return node;
  }

  #resolve(path: string): Place {
    return resolvePlace(this.#rootPlace, path, (at, name) => {
      const node = at.node?.children?.get(name);
      const place: Place = { parent: at, path: childPath(at.path, name) as BytePath, node };
      if (node?.inode.kind === 'symlink') return symlinkText(this.#indexes, node.inode);
      if (node && !node.children) throw belowFile(place.path);
      return place;
    });
  }
}

export function symlinkText(indexes: readonly LayerIndex[], { layer, entry }: Inode): string {
  return indexes[layer]?.linkTarget(entry) ?? '';
}

const undescribed: Inode = { id: 0, layer: -1, entry: -1, kind: 'directory' };

function newDirectory(inode: Inode, layer: number): TreeNode {
  return { inode, children: new Map(), layer };
}

/** Takes out of a directory what no entry of the layer put there. */
function prune(directory: TreeNode, layer: number): void {
  const pending = [directory];
  for (let node = pending.pop(); node; node = pending.pop()) {
    for (const [name, child] of node.children ?? []) {
      if (child.layer !== layer) node.children?.delete(name);
      else if (child.children) pending.push(child);
    }
  }
}

function belowFile(path: BytePath): TsbuildError {
  return layerInvalid(`${shown(path)} is no directory, yet something is to be put below it`);
}
