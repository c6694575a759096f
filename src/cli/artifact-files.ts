/**
 * Files as the layers of an OCI artifact (image spec 1.1, "Guidelines for Artifact Usage") and back. A file's name stands in
 * `org.opencontainers.image.title`, as oras and others have it.
 * Invariant: whatever a manifest calls its files, nothing is written outside the folder that was asked for.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, normalize } from 'node:path';
import { finished } from 'node:stream';
import { makeDirectories, TsbuildError } from '../core/index.ts';
import {
  type BlobProgress,
  type BlobSource,
  createDigestHasher,
  type Descriptor,
  type ImageManifest,
} from '../image/index.ts';
import { writeOutput } from './output-file.ts';
import type { Session } from './session.ts';
import { printable } from './style.ts';

export const titleAnnotation = 'org.opencontainers.image.title';
const defaultType = 'application/octet-stream';

export interface ArtifactFile {
  readonly path: string;
  readonly descriptor: Descriptor;
}

/**
 * Reads `FILE[:MEDIA/TYPE]` once, for its digest.
 * @throws TsbuildError `usage` for what is no file
 */
export async function describeFile(word: string, signal: AbortSignal): Promise<ArtifactFile> {
  const [, path = word, mediaType = defaultType] = /^(.+):([a-z0-9.+-]+\/[A-Za-z0-9.+;=_-]+)$/.exec(word) ?? [];
  const status = await stat(path).catch((cause: unknown) => {
    throw new TsbuildError({ code: 'usage', message: `there is no file ${path}`, hint: 'Check the path.', cause });
  });
  if (!status.isFile()) {
    throw new TsbuildError({
      code: 'usage',
      message: `${path} is not a regular file`,
      hint: `Pack it first: tar -czf ${basename(path)}.tar.gz ${path}`,
    });
  }
  const hasher = createDigestHasher();
  let size = 0;
  for await (const chunk of openFile(path, signal)) {
    hasher.update(chunk);
    size += chunk.byteLength;
  }
  const title = isAbsolute(path) || normalize(path).startsWith('..') ? basename(path) : normalize(path);
  return { path, descriptor: { mediaType, digest: hasher.digest(), size, annotations: { [titleAnnotation]: title } } };
}

export function openFile(path: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
  return createReadStream(path, { highWaterMark: 512 * 1024, signal });
}

export interface TitledLayer {
  readonly layer: Descriptor;
  readonly title: string;
}

/** The files of an artifact. @throws TsbuildError `manifest-invalid` for names that lead elsewhere or stand for two files */
export function titledLayers(manifest: ImageManifest): readonly TitledLayer[] {
  const titled = manifest.layers.flatMap((layer) => {
    const title = layer.annotations?.[titleAnnotation];
    return title === undefined ? [] : [{ layer, title: safeTitle(title) }];
  });
  const names = new Set(titled.map(({ title }) => title));
  if (names.size === titled.length) return titled;
  throw new TsbuildError({
    code: 'manifest-invalid',
    message: 'two files of the artifact have the same name',
    hint: 'Its maker must name them apart.',
  });
}

/** Writes one file of an artifact beneath a folder, whole or not at all. Resolves to its path. */
export async function writeTitled(
  source: BlobSource,
  { layer, title }: TitledLayer,
  folder: string,
  session: Session,
  onBlob: (progress: BlobProgress) => void,
): Promise<string> {
  const path = join(folder, title);
  makeDirectories(dirname(path));
  await writeOutput(path, session, async (out) => {
    let done = 0;
    for await (const chunk of await source.open(layer, session.signal)) {
      if (!out.write(chunk)) await drained(out);
      done += chunk.byteLength;
      onBlob({ descriptor: layer, state: 'progress', done });
    }
    onBlob({ descriptor: layer, state: 'written', done });
  });
  return path;
}

/** A relative path without dots that lead up, on one line. */
function safeTitle(title: string): string {
  const parts = title.split('/');
  const isPlain = parts.every((part) => part !== '' && part !== '.' && part !== '..');
  if (isPlain && printable(title) === title && !title.includes('\n') && title.length <= 4096) return title;
  throw new TsbuildError({
    code: 'manifest-invalid',
    message: `the artifact calls a file ${JSON.stringify(title.slice(0, 200))}, which is no name inside a folder`,
    hint: 'Do not use it: an honest artifact has no such file.',
  });
}

function drained(out: NodeJS.WritableStream): Promise<void> {
  return new Promise((resolve, reject) => {
    const go = (error?: Error | null) => {
      out.off('drain', go);
      stop();
      if (error) reject(error);
      else resolve();
    };
    const stop = finished(out, go);
    out.once('drain', go);
  });
}
