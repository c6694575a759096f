/**
 * What the layers of a chain make together, from their indexes alone: no layer is unpacked.
 * Invariant: it shows what unpacking the layers one over the other would show.
 */
import { open } from 'node:fs/promises';
import { type BytePath, compareBytePaths, TsbuildError } from '../../core/index.ts';
import { shown } from '../tar/tar-errors.ts';
import type { EntryContent, Tree, TreeEntry } from '../types.ts';
import { type LayerIndex, readLayerIndex } from './layer-index.ts';
import { type Above, baseName, childPath, parentPath, resolvePlace } from './resolve-place.ts';
import { type Inode, symlinkText, TreeBuilder, type TreeNode } from './tree-builder.ts';

export interface TreeLayer {
  /** The index or the path of its file. */
  readonly index: LayerIndex | string;
  /** The layer's uncompressed tar: what the contents of entries are ranges of. */
  readonly file?: string;
  /** Makes that file present; called before it is read. */
  readonly provide?: () => Promise<void>;
}

/** @param layers lowest first */
export function mergedTree(layers: readonly TreeLayer[]): Tree {
  const builder = new TreeBuilder();
  const indexes = layers.map(({ index }) => (typeof index === 'string' ? readLayerIndex(index) : index));
  for (const index of indexes) builder.apply(index);
  return new MergedTree(builder.root, layers, indexes);
}

/** What a directory is that no layer describes; apply makes the same. */
const unnamedDirectory = { kind: 'directory', mode: 0o755, uid: 0, gid: 0, size: 0, mtime: 0n } as const;

interface Place extends Above<Place> {
  readonly path: BytePath;
  readonly node: TreeNode | undefined;
}

class MergedTree implements Tree {
  readonly #root: Place;
  readonly #layers: readonly TreeLayer[];
  readonly #indexes: readonly LayerIndex[];

  constructor(root: TreeNode, layers: readonly TreeLayer[], indexes: readonly LayerIndex[]) {
    this.#root = { parent: undefined, path: '' as BytePath, node: root };
    this.#layers = layers;
    this.#indexes = indexes;
  }

  lookup(path: BytePath): TreeEntry | undefined {
    const place = this.#place(path, false);
    return place.node && this.#entry(place.path, place.node.inode);
  }

  resolve(path: BytePath, options?: { readonly followLast?: boolean }): BytePath {
    return this.#place(path, options?.followLast ?? true).path;
  }

  list(path: BytePath): readonly TreeEntry[] {
    const place = this.#place(path, false);
    const children = [...(place.node?.children ?? [])];
    return children
      .sort(([a], [b]) => compareBytePaths(a, b))
      .map(([name, node]) => this.#entry(childPath(place.path, name) as BytePath, node.inode));
  }

  async readFile(path: BytePath, limit: number): Promise<Buffer | undefined> {
    const place = this.#place(path, true);
    const entry = place.node && this.#entry(place.path, place.node.inode);
    if (!place.node || entry?.kind !== 'file') return undefined;
    if (entry.size > limit) {
      throw new TsbuildError({
        code: 'file-too-large',
        message: `${shown(place.path)} has ${entry.size} bytes; at most ${limit} are read of it`,
        hint: 'Make the file smaller.',
      });
    }
    if (entry.size === 0) return Buffer.alloc(0);
    await this.#layers[place.node.inode.layer]?.provide?.();
    if (entry.content?.kind === 'range') return readRange(entry.content, entry.size);
    throw new TsbuildError({ code: 'internal', message: `the content of ${shown(place.path)} is not at hand` });
  }

  #place(path: BytePath, followLast: boolean): Place {
    const parent = this.#walk(followLast ? path : parentPath(path));
    return followLast || path === '' ? parent : below(parent, baseName(path));
  }

  #walk(path: string): Place {
    return resolvePlace(this.#root, path, (at, name) => {
      const place = below(at, name);
      return place.node?.inode.kind === 'symlink' ? symlinkText(this.#indexes, place.node.inode) : place;
    });
  }

  #entry(path: BytePath, { id: inode, layer, entry: number }: Inode): TreeEntry {
    const index = this.#indexes[layer];
    if (!index) return { ...unnamedDirectory, path, inode };
    const entry = index.entry(number);
    const file = entry.kind === 'file' ? this.#layers[layer]?.file : undefined;
    if (file === undefined) return { ...entry, path, inode };
    const { kind, mode, uid, gid, size, mtime, xattrs } = entry;
    const segments = index.segments(number);
    const offset = index.offset(number);
    const content: EntryContent = segments
      ? { kind: 'range', file, offset, size, segments }
      : { kind: 'range', file, offset, size };
    // A whole literal: a layer may have many thousand files.
    const whole = { path, kind, mode, uid, gid, size, mtime, inode, content };
    return xattrs ? { ...whole, xattrs } : whole;
  }
}

function below(at: Place, name: string): Place {
  return { parent: at, path: childPath(at.path, name) as BytePath, node: at.node?.children?.get(name) };
}

/** The bytes of a range; holes of a sparse one are zeros. @throws TsbuildError `layer-damaged` */
export async function readRange(content: Extract<EntryContent, { kind: 'range' }>, size: number): Promise<Buffer> {
  const result = Buffer.alloc(size);
  const file = await open(content.file, 'r');
  try {
    let from = content.offset;
    for (const { position, length } of content.segments ?? [{ position: 0, length: size }]) {
      for (let done = 0; done < length; ) {
        const { bytesRead } = await file.read(result, position + done, length - done, from + done);
        if (bytesRead === 0) {
          throw new TsbuildError({
            code: 'layer-damaged',
            message: `${content.file} ends before the content of an entry does`,
            hint: 'Run the command again; the layer is fetched or built anew.',
          });
        }
        done += bytesRead;
      }
      from += length;
    }
    return result;
  } finally {
    await file.close();
  }
}
