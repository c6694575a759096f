/**
 * Verifies a store (`tsbuild store check`): every blob against its digest, every image against its parts.
 * Invariant: a damaged blob is dropped and named, and made again when the store has another form of the layer; nothing
 * else is changed. What was never fetched is no damage.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { isTsbuildError, throwIfAborted } from '../../core/index.ts';
import { type Digest, isDigest } from '../../image/index.ts';
import { namesIn } from './if-there.ts';
import { type NeededBlob, reachableFrom } from './reachable.ts';
import type { StoreParts } from './store-parts.ts';

export interface CheckOptions {
  readonly signal: AbortSignal;
  readonly onProgress?: (done: { readonly blobs: number; readonly bytes: number }) => void;
}

export interface CheckResult {
  readonly blobs: number;
  /** Bytes read. */
  readonly bytes: number;
  /** Dropped, and not made again. */
  readonly damaged: readonly CheckFinding[];
  /** What listed images had when they were listed, and the store lacks: they cannot be used. */
  readonly missing: readonly CheckFinding[];
  /** Damaged or lost, and made again from another form of the layer. */
  readonly restored: readonly CheckFinding[];
  /** Layers that were never needed here: they are fetched from where the base comes from when they are. */
  readonly absentLayers: readonly CheckFinding[];
  /** Names in `blobs/` that are no digests. */
  readonly strangers: readonly string[];
}

export interface CheckFinding {
  readonly digest: Digest;
  /** Names of the images that need it. */
  readonly images: readonly string[];
}

export async function check(parts: StoreParts, { signal, onProgress }: CheckOptions): Promise<CheckResult> {
  await parts.pending.settle();
  const { layout } = parts;
  const reachable = reachableFrom(layout, parts.images.images());
  const imagesOf = (digest: Digest) => reachable.blobs.get(digest)?.images ?? [];
  const damaged: CheckFinding[] = [];
  const strangers: string[] = [];
  let [blobs, bytes] = [0, 0];
  for (const algorithm of namesIn(layout.blobs)) {
    for (const name of namesIn(join(layout.blobs, algorithm))) {
      throwIfAborted(signal);
      const digest = `${algorithm}:${name}`;
      const path = join(layout.blobs, algorithm, name);
      const status = statSync(path, { throwIfNoEntry: false });
      if (status === undefined) continue;
      if (!isDigest(digest) || !status.isFile()) {
        strangers.push(path);
        continue;
      }
      if (!(await isSound(parts, digest, status.size, signal))) damaged.push({ digest, images: imagesOf(digest) });
      blobs += 1;
      bytes += status.size;
      onProgress?.({ blobs, bytes });
    }
  }
  const absent = absentParts(parts);
  const restored: CheckFinding[] = [];
  const isRestored = async (finding: CheckFinding): Promise<boolean> => {
    // Only of an uncompressed layer is the diff ID known: it is its digest.
    const layer = { diffId: finding.digest, blob: { mediaType: '', digest: finding.digest, size: 0 } };
    if (!(await parts.bytes.restore(layer, signal))) return false;
    restored.push(finding);
    return true;
  };
  const stillDamaged: CheckFinding[] = [];
  for (const finding of damaged) if (!(await isRestored(finding))) stillDamaged.push(finding);
  const wasDamaged = new Set(damaged.map((finding) => finding.digest));
  const missing: CheckFinding[] = [];
  const absentLayers: CheckFinding[] = [];
  for (const { descriptor, images, listedWithout } of absent) {
    const { digest } = descriptor;
    if (wasDamaged.has(digest)) continue;
    const losers = images.filter((name) => !listedWithout.includes(name));
    if (losers.length > 0) {
      const finding = { digest, images: losers };
      if (!(await isRestored(finding))) missing.push(finding);
    } else absentLayers.push({ digest, images });
  }
  return {
    blobs,
    bytes,
    damaged: stillDamaged,
    missing,
    restored,
    absentLayers,
    strangers,
  };
}

/** What listed images need and the store lacks. */
function absentParts({ layout, images, blobs }: StoreParts): NeededBlob[] {
  for (;;) {
    const listed = images.images();
    const absent = [...reachableFrom(layout, listed).blobs.values()].filter(
      ({ descriptor }) => statSync(blobs.path(descriptor.digest), { throwIfNoEntry: false }) === undefined,
    );
    // An image that left the list while we looked took its parts with it: that is no finding.
    if (absent.length === 0 || images.images() === listed) return absent;
  }
}

async function isSound(parts: StoreParts, digest: Digest, size: number, signal: AbortSignal): Promise<boolean> {
  try {
    for await (const _chunk of await parts.blobs.open({ mediaType: '', digest, size }, signal));
    return true;
  } catch (error) {
    // Missing: another process removed it since we listed it.
    if (isTsbuildError(error) && error.code === 'blob-missing') return true;
    if (isTsbuildError(error) && error.code === 'blob-damaged') return false;
    throw error;
  }
}
