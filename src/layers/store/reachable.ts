/**
 * What the images and the records of a store need: where `prune`, `check` and `usage` begin.
 * Invariant: errs towards needing: a document that cannot be read needs nothing more, but is itself needed; a record
 * needs every digest its text mentions.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { isTsbuildError } from '../../core/index.ts';
import {
  chainIds,
  type Descriptor,
  type Digest,
  type ImageIndex,
  type ImageManifest,
  isDigest,
  isIndexType,
  isManifestType,
  maxManifestBytes,
  parseImageConfig,
  parseManifest,
} from '../../image/index.ts';
import type { StoredImage } from '../types.ts';
import { namesIn, readIfThere } from './if-there.ts';
import { blobPathIn, type Layout } from './layout.ts';
import { parseRecord } from './records.ts';

export interface Reachable {
  /** Manifests, configurations and layers, as their manifests name them. */
  readonly blobs: ReadonlyMap<Digest, NeededBlob>;
  /** Layers by diff ID: their uncompressed forms, indexes and snapshots can be made again, but are worth keeping. */
  readonly diffIds: ReadonlySet<Digest>;
  readonly chainIds: ReadonlySet<Digest>;
}

export interface NeededBlob {
  readonly descriptor: Descriptor;
  readonly role: 'manifest' | 'config' | 'layer';
  /** Names of the images that need it, or digests of those without a name. */
  readonly images: readonly string[];
  /** Those of them that were listed without it: a layer of their base that was not needed here. */
  readonly listedWithout: readonly string[];
}

export function reachableFrom(layout: Layout, images: readonly StoredImage[]): Reachable {
  const blobs = new Map<Digest, NeededBlob & { readonly images: string[]; readonly listedWithout: string[] }>();
  const diffIds = new Set<Digest>();
  const chains = new Set<Digest>();
  for (const image of images) {
    const label = image.name ?? image.target.digest;
    const seen = new Set<Digest>();
    const visit = (descriptor: Descriptor, role: NeededBlob['role']): void => {
      if (seen.has(descriptor.digest)) return;
      seen.add(descriptor.digest);
      const known = blobs.get(descriptor.digest) ?? { descriptor, role, images: [], listedWithout: [] };
      known.images.push(label);
      if (role === 'layer' && image.absent?.includes(descriptor.digest)) known.listedWithout.push(label);
      blobs.set(descriptor.digest, known);
      if (role === 'config') {
        const ids = diffIdsOf(layout, descriptor);
        for (const id of ids) diffIds.add(id);
        for (const id of chainIds(ids)) chains.add(id);
      }
      if (role !== 'manifest') return;
      const document = documentOf(layout, descriptor);
      if (document?.kind === 'index') for (const child of document.manifests) visit(child, roleOf(child));
      if (document?.kind === 'manifest') {
        visit(document.config, 'config');
        for (const layer of document.layers) visit(layer, 'layer');
      }
    };
    visit(image.target, 'manifest');
  }
  return { blobs, diffIds, chainIds: chains };
}

export interface StoredRecord {
  readonly room: string;
  readonly path: string;
  /** When it was last written: milliseconds since 1970. */
  readonly written: number;
  readonly size: number;
  /** Every digest it mentions. */
  readonly digests: readonly Digest[];
  /** Undefined when it is damaged. */
  readonly value: unknown;
}

/** All records of all rooms. What lies in `cache/` and is none has a value of undefined. */
export function* allRecords(layout: Layout): Generator<StoredRecord> {
  for (const room of namesIn(layout.cache)) {
    if (room === layerIndexRoom || room === contextHashRoom) continue;
    for (const key of namesIn(join(layout.cache, room))) {
      const path = join(layout.cache, room, key);
      const status = statSync(path, { throwIfNoEntry: false });
      if (!status?.isFile()) continue;
      const text = readIfThere(path)?.toString();
      if (text === undefined) continue;
      const digests = [...new Set(text.match(/\bsha256:[0-9a-f]{64}\b|\bsha512:[0-9a-f]{128}\b/g) ?? [])].filter(
        isDigest,
      );
      yield { room, path, written: status.mtimeMs, size: status.size, digests, value: parseRecord(text) };
    }
  }
}

/** Not records: see layer-bytes.ts. */
export const layerIndexRoom = 'layer-index';
/** Not records either: one file per build context, written by the builder. */
export const contextHashRoom = 'context-hashes';

function roleOf({ mediaType }: Descriptor): NeededBlob['role'] {
  return isManifestType(mediaType) || isIndexType(mediaType) ? 'manifest' : 'layer';
}

function documentOf(layout: Layout, descriptor: Descriptor): ImageManifest | ImageIndex | undefined {
  const bytes = readSmall(layout, descriptor);
  return bytes && orUndefined(() => parseManifest(bytes, descriptor.mediaType));
}

/** Of what is no image, an artifact or an attestation, none. */
function diffIdsOf(layout: Layout, config: Descriptor): readonly Digest[] {
  const bytes = readSmall(layout, config);
  return (bytes && orUndefined(() => parseImageConfig(bytes).rootfs.diff_ids)) ?? [];
}

function readSmall(layout: Layout, { digest, size }: Descriptor): Buffer | undefined {
  const path = blobPathIn(layout, digest);
  const actual = statSync(path, { throwIfNoEntry: false })?.size;
  if (actual === undefined || actual !== size || size > maxManifestBytes) return undefined;
  return readIfThere(path);
}

function orUndefined<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (isTsbuildError(error) && ['manifest-invalid', 'manifest-unsupported', 'config-invalid'].includes(error.code)) {
      return undefined;
    }
    throw error;
  }
}
