/**
 * An OCI image layout in a folder of the user's, as a BlobSink: `-o type=oci,tar=false` and `copy … oci:DIR`.
 * Invariants: a blob gets its name when it is complete and verified; images that are in the layout already stay, unless
 * they have the name that is given. No tool locks such a folder, so two writers at once may lose a name, never a blob.
 */
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isTsbuildError, makeDirectories, systemErrorCode, TsbuildError, throwIfAborted } from '../../core/index.ts';
import {
  type BlobSink,
  type CopyOptions,
  copyGraph,
  createDigestHasher,
  type Descriptor,
  digestAlgorithm,
  mediaTypes,
  parseReference,
} from '../../image/index.ts';
import { containerdNameAnnotation, imageName, refNameAnnotation } from '../store/image-list.ts';
import type { Store } from '../types.ts';
import { archiveInvalid } from './archive-errors.ts';
import { blobMember, entryOf } from './image-archive.ts';
import { layoutMarker, type SavedImage } from './write-archives.ts';

/** Makes the folder when it is not there. @throws TsbuildError `output-failed`, `image-archive-invalid` */
export async function openOciLayoutSink(folder: string): Promise<BlobSink> {
  const marker = join(folder, 'oci-layout');
  await outputs(folder, async () => {
    makeDirectories(folder);
    if (!statSync(marker, { throwIfNoEntry: false })) await replaceFile(marker, layoutMarker);
  });
  const has = (descriptor: Descriptor): boolean =>
    statSync(join(folder, blobMember(descriptor.digest)), { throwIfNoEntry: false })?.size === descriptor.size;
  let lastTag: Promise<void> = Promise.resolve();
  return {
    name: `OCI layout ${folder}`,
    has: async (descriptor) => has(descriptor),
    put: async (descriptor, source, { signal, onProgress }) => {
      if (has(descriptor)) return 'exists';
      const path = join(folder, blobMember(descriptor.digest));
      await outputs(folder, async () => {
        makeDirectories(dirname(path));
        await writeVerified(path, descriptor, await source(), (size) => {
          throwIfAborted(signal);
          onProgress?.(size);
        });
      });
      return 'written';
    },
    tag: (descriptor, reference) => {
      // Every name is an entry of one file.
      const added = lastTag.then(() => outputs(folder, () => addEntry(folder, descriptor, reference)));
      lastTag = added.catch(() => {});
      return added;
    },
  };
}

/** Writes images of the store into a folder, through copyGraph. */
export async function writeOciLayout(
  store: Store,
  images: readonly SavedImage[],
  folder: string,
  signal: AbortSignal,
  options: Omit<CopyOptions, 'signal'> = {},
): Promise<void> {
  const sink = await openOciLayoutSink(folder);
  for (const { target, names } of images) {
    await copyGraph(store, sink, target, { ...options, signal });
    for (const name of names.length > 0 ? names : ['']) await sink.tag(target, name, signal);
  }
}

async function writeVerified(
  path: string,
  descriptor: Descriptor,
  chunks: AsyncIterable<Uint8Array>,
  onBytes: (size: number) => void,
): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const file = await open(draft, 'wx', 0o644);
  try {
    const hasher = createDigestHasher(digestAlgorithm(descriptor.digest));
    let size = 0;
    for await (const chunk of chunks) {
      size += chunk.byteLength;
      hasher.update(chunk);
      await file.writeFile(chunk);
      onBytes(size);
      if (size > descriptor.size) break;
    }
    if (size !== descriptor.size || hasher.digest() !== descriptor.digest) {
      throw new TsbuildError({
        code: 'blob-mismatch',
        message: `the bytes received for ${descriptor.digest} are not that blob`,
        hint: 'Run the command again.',
      });
    }
    await file.close();
    await rename(draft, path);
  } catch (error) {
    await file.close();
    await rm(draft, { force: true });
    throw error;
  }
}

/** A name of '' lists the image without one; a bare tag is kept as the tag it is. */
async function addEntry(folder: string, descriptor: Descriptor, reference: string): Promise<void> {
  const path = join(folder, 'index.json');
  const index = await readIndex(path, folder);
  const full = isNameWithPath(reference) ? imageName(parseReference(reference)) : undefined;
  const refName = full ?? reference;
  const annotations = {
    ...descriptor.annotations,
    ...(full !== undefined && { [containerdNameAnnotation]: full }),
    ...(refName !== '' && { [refNameAnnotation]: refName }),
  };
  const others = index.manifests.filter((raw) => {
    const old = entryOf(raw as Descriptor);
    if (refName === '') return old.target.digest !== descriptor.digest || old.refName !== undefined;
    return old.refName !== refName;
  });
  const added = { ...descriptor, ...(Object.keys(annotations).length > 0 && { annotations }) };
  await replaceFile(path, JSON.stringify({ ...index, manifests: [...others, added] }));
}

/** `oci:DIR:1.2` names a tag; `oci:DIR:app:1.2` and `example.com/app` a whole name. */
function isNameWithPath(reference: string): boolean {
  return /[/:@]/.test(reference);
}

async function readIndex(
  path: string,
  folder: string,
): Promise<{ readonly manifests: readonly unknown[]; readonly [member: string]: unknown }> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] };
  }
  try {
    const index = JSON.parse(text);
    if (Array.isArray(index?.manifests)) return index;
  } catch (cause) {
    throw archiveInvalid(folder, 'its index.json is not JSON', cause);
  }
  throw archiveInvalid(folder, 'its index.json lists no manifests');
}

async function replaceFile(path: string, text: string): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const file = await open(draft, 'wx', 0o644);
  try {
    await file.writeFile(text);
  } finally {
    await file.close();
  }
  await rename(draft, path);
}

async function outputs<T>(folder: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (isTsbuildError(error)) throw error;
    throw new TsbuildError({
      code: 'output-failed',
      message: `${folder} could not be written: ${error instanceof Error ? error.message : String(error)}`,
      hint: 'Check the permissions and the free space of the folder.',
      cause: error,
    });
  }
}
