/** Reads a folder that is an OCI image layout (OCI image spec, image-layout.md), whichever tool wrote it. */
import { type Descriptor, parseDescriptor } from '../../image/index.ts';
import { archiveInvalid } from './archive-errors.ts';
import { type ArchiveFiles, folderFiles } from './archive-files.ts';
import { type ArchiveEntry, entryOf, type ImageArchive, imageArchive } from './image-archive.ts';

/** A list of tens of thousands of images is smaller. */
const maxIndexBytes = 64 * 1024 * 1024;
const maxMarkerBytes = 64 * 1024;

/** @throws TsbuildError `image-archive-invalid` */
export async function openOciLayout(folder: string, signal: AbortSignal): Promise<ImageArchive> {
  const files = folderFiles(folder);
  const entries = await readLayoutIndex(files, signal);
  if (entries === undefined) throw archiveInvalid(folder, 'it has no oci-layout file and index.json');
  return imageArchive({ name: `OCI layout ${folder}`, files, entries, places: new Map() });
}

/** The entries of `index.json`; undefined when this is no OCI layout. @throws TsbuildError `image-archive-invalid` */
export async function readLayoutIndex(
  files: ArchiveFiles,
  signal: AbortSignal,
): Promise<readonly ArchiveEntry[] | undefined> {
  const marker = await readJson(files, 'oci-layout', maxMarkerBytes, signal);
  if (marker === undefined) return undefined;
  const version = (marker as { readonly imageLayoutVersion?: unknown } | null)?.imageLayoutVersion;
  if (typeof version !== 'string' || !version.startsWith('1.')) {
    throw archiveInvalid(files.place, `its image layout version is ${JSON.stringify(version)}`);
  }
  const index = (await readJson(files, 'index.json', maxIndexBytes, signal)) as
    | { readonly manifests?: unknown }
    | null
    | undefined;
  if (!Array.isArray(index?.manifests)) throw archiveInvalid(files.place, 'it has no index.json with manifests');
  return index.manifests.map((item, i): ArchiveEntry => {
    const descriptor: Descriptor = parseDescriptor(item, `${files.place}: index.json manifests[${i}]`);
    return entryOf(descriptor);
  });
}

/** Undefined when there is no such file. @throws TsbuildError `image-archive-invalid` */
export async function readJson(
  files: ArchiveFiles,
  path: string,
  limit: number,
  signal: AbortSignal,
): Promise<unknown> {
  const bytes = await readSmall(files, path, limit, signal);
  if (bytes === undefined) return undefined;
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw archiveInvalid(files.place, `${path} is not JSON`, cause);
  }
}

/** @param limit bytes */
export async function readSmall(
  files: ArchiveFiles,
  path: string,
  limit: number,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  const size = await files.size(path);
  if (size === undefined) return undefined;
  if (size > limit) throw archiveInvalid(files.place, `${path} has ${size} bytes; ${limit} are allowed`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of files.read(path, { signal })) chunks.push(chunk);
  return Buffer.concat(chunks);
}
