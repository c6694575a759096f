/**
 * What the store does to layers in its workers: writing them, hashing what goes into them, looking into them.
 * Invariant: an entry of a tree may stand for bytes that are still compressed, or still in a registry; they are brought
 * to the file the entry names before a worker reads it.
 */
import { isTsbuildError } from '../../core/index.ts';
import { type Digest, layerMediaType } from '../../image/index.ts';
import { withEarlyForm } from '../compress/early-form.ts';
import { mergedTree, type TreeLayer } from '../tree/merged-tree.ts';
import type {
  ChainOptions,
  EntryContent,
  LayerEntry,
  LayerRef,
  Tree,
  WriteLayerOptions,
  WrittenLayer,
} from '../types.ts';
import type { StoreParts } from './store-parts.ts';

export class LayerWork {
  readonly #parts: StoreParts;
  /** Path of an uncompressed layer, as the entries of a tree name it, to how its bytes are had. */
  readonly #origins = new Map<string, { readonly layer: LayerRef; readonly options: ChainOptions }>();

  constructor(parts: StoreParts) {
    this.#parts = parts;
  }

  async write(entries: Iterable<LayerEntry>, options: WriteLayerOptions): Promise<WrittenLayer> {
    const { signal, latestMtime, hashFiles, form } = options;
    const list = [...entries];
    await this.#provide(
      list.map((entry) => entry.content),
      signal,
    );
    const draft = this.#parts.presence.draft();
    const job = { draft, ...(latestMtime !== undefined && { latestMtime }), hashFiles: hashFiles === true };
    const small = await this.#parts.smallJobs.get();
    const { diffId, size, fileDigests } =
      small.writeLayer(list, job) ??
      (await withEarlyForm(this.#parts, { draft, form, signal }, async (onWritten) =>
        (await this.#parts.pool.get()).run('writeLayer', { ...job, entries: list }, signal, onWritten),
      ));
    this.#parts.blobs.adopt(draft, diffId);
    return { ...uncompressedLayer(diffId, size), ...(fileDigests && { fileDigests }) };
  }

  async hashContents(contents: readonly EntryContent[], signal: AbortSignal): Promise<readonly Digest[]> {
    await this.#provide(contents, signal);
    const pool = await this.#parts.pool.get();
    const { digests } = await pool.run('hashContents', { contents }, signal);
    return digests;
  }

  async tree(chain: readonly LayerRef[], options: ChainOptions): Promise<Tree> {
    let merged: Tree;
    try {
      merged = mergedTree(await this.#layersOf(chain, options));
    } catch (error) {
      if (!isTsbuildError(error) || error.code !== 'layer-damaged') throw error;
      // Indexes are a cache: one that a power loss tore is made again.
      for (const layer of chain) this.#parts.bytes.dropIndex(layer.diffId);
      merged = mergedTree(await this.#layersOf(chain, options));
    }
    return {
      lookup: (path) => merged.lookup(path),
      resolve: (path, how) => merged.resolve(path, how),
      list: (path) => merged.list(path),
      readFile: (path, limit) => merged.readFile(path, limit),
      provide: (contents, signal) => this.#provide(contents, signal),
    };
  }

  #layersOf(chain: readonly LayerRef[], options: ChainOptions): Promise<TreeLayer[]> {
    return Promise.all(
      chain.map(async (layer): Promise<TreeLayer> => {
        const index = await this.#parts.bytes.index(layer, options);
        const file = this.#parts.blobs.path(layer.diffId);
        this.#origins.set(file, { layer, options });
        return { index, file, provide: () => this.#parts.bytes.uncompressed(layer, options) };
      }),
    );
  }

  async #provide(contents: Iterable<EntryContent | undefined>, signal: AbortSignal): Promise<void> {
    const files = new Set<string>();
    for (const content of contents) if (content?.kind === 'range') files.add(content.file);
    for (const file of files) {
      const origin = this.#origins.get(file);
      if (origin) await this.#parts.bytes.uncompressed(origin.layer, { ...origin.options, signal });
    }
  }
}

export function uncompressedLayer(diffId: Digest, size: number): LayerRef {
  return { diffId, blob: { mediaType: layerMediaType('uncompressed'), digest: diffId, size } };
}
