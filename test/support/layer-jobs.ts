/** The jobs of layers run in the test's own thread, on files in a folder. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BytePath } from '../../src/core/index.ts';
import { type Compression, type Digest, digestOf } from '../../src/image/index.ts';
import { diffUpper } from '../../src/layers/diff/diff-upper.ts';
import { endOfArchive, type HeaderFields, headerBytes } from '../../src/layers/tar/tar-encoder.ts';
import { paddingOf } from '../../src/layers/tar/tar-format.ts';
import { applyLayer } from '../../src/layers/worker/blob-jobs.ts';
import type { JobControl } from '../../src/layers/worker/job-control.ts';

export const neverAborted: JobControl = { throwIfAborted() {} };

/** A directory as a layer over nothing. */
export function layerOf(
  folder: string,
  directory: string,
  name = 'layer',
): { readonly file: string; readonly diffId: Digest } {
  const file = join(folder, `${name}.tar`);
  mkdirSync(join(folder, 'nothing'), { recursive: true });
  const input = { upper: directory, lowers: [join(folder, 'nothing')], draft: file, xattrPrefix: 'trusted.' } as const;
  return { file, diffId: diffUpper(input, neverAborted).diffId };
}

/** Unpacks archive bytes over lowers (highest first); the target is `<folder>/<name>`. */
export async function applyBytes(
  folder: string,
  name: string,
  archive: Buffer,
  options: { readonly lowers?: readonly string[]; readonly compression?: Compression; readonly diffId?: Digest } = {},
): Promise<{ readonly target: string; readonly notes: readonly string[] }> {
  const blob = join(folder, `${name}.blob`);
  writeFileSync(blob, archive);
  const target = join(folder, name);
  const { notes } = await applyLayer(
    {
      blob,
      compression: options.compression ?? 'uncompressed',
      diffId: options.diffId ?? digestOf(archive),
      target,
      lowers: options.lowers ?? [],
      xattrPrefix: 'trusted.',
    },
    neverAborted,
  );
  return { target, notes };
}

export type ArchiveEntry = Partial<Omit<HeaderFields, 'path' | 'linkTarget'>> & {
  readonly path: string;
  readonly linkTarget?: string;
  readonly content?: string | Buffer;
};

/** An archive of these entries in this order, however strange; a trailing slash or `..` in a path stays. */
export function archiveOf(entries: readonly ArchiveEntry[]): Buffer {
  const pieces: Buffer[] = [];
  for (const { path, linkTarget, content = '', ...fields } of entries) {
    const data = Buffer.from(content);
    const header = headerBytes({
      kind: 'file',
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: 1_000_000_000n * 1_000_000_000n,
      ...fields,
      size: fields.size ?? data.length,
      path: path as BytePath,
      ...(linkTarget !== undefined && { linkTarget: linkTarget as BytePath }),
    });
    pieces.push(header, data, Buffer.alloc(paddingOf(data.length)));
  }
  pieces.push(endOfArchive());
  return Buffer.concat(pieces);
}

export function toolIsThere(name: string): boolean {
  return spawnSync(name, ['--version'], { stdio: 'ignore' }).error === undefined;
}
