/**
 * An OCI image layout directory of someone else, for reading (OCI image spec, image-layout.md). The layout is hostile: its
 * blobs are opened as regular files only and verified while they stream.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode, TsbuildError, throwIfAborted } from '../../core/index.ts';
import {
  type BlobSource,
  createDigestHasher,
  type Descriptor,
  digestAlgorithm,
  type ImageIndex,
  isDigest,
  maxManifestBytes,
  mediaTypes,
  parseManifest,
} from '../../image/index.ts';

const chunkBytes = 1 << 20;
const refName = 'org.opencontainers.image.ref.name';
const containerdName = 'io.containerd.image.name';

export class OciLayoutSource implements BlobSource {
  readonly name: string;
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    this.name = `OCI layout ${path}`;
  }

  /** @param reference a tag as the layout has it, a digest, or '' for the only image */
  async resolve(reference: string): Promise<Descriptor> {
    const { manifests } = await this.#index();
    const names = (item: Descriptor) => [item.annotations?.[refName], item.annotations?.[containerdName]];
    const found = isDigest(reference)
      ? manifests.find((item) => item.digest === reference)
      : reference === ''
        ? manifests.length === 1
          ? manifests[0]
          : manifests.find((item) => names(item).includes('latest'))
        : manifests.findLast((item) => names(item).includes(reference));
    if (found) return found;
    const offered = manifests.flatMap((item) => names(item)[0] ?? item.digest).slice(0, 8);
    throw new TsbuildError({
      code: 'image-unknown',
      message: `${this.name} has no image ${reference === '' ? 'without a name' : reference}`,
      hint: offered.length === 0 ? 'It is empty.' : `It has ${offered.join(', ')}.`,
    });
  }

  async open(descriptor: Descriptor, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const [algorithm = '', hex = ''] = descriptor.digest.split(':');
    const path = join(this.#path, 'blobs', algorithm, hex);
    let handle: FileHandle;
    try {
      handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (cause) {
      throw new TsbuildError({
        code: 'blob-missing',
        message: `${this.name} has no blob ${descriptor.digest}`,
        hint: 'The layout is incomplete: write it again.',
        cause,
      });
    }
    if (!(await handle.stat()).isFile()) {
      await handle.close();
      throw new TsbuildError({
        code: 'blob-damaged',
        message: `${this.name}: ${path} is not a regular file`,
        hint: 'Write the layout again.',
      });
    }
    return this.#verified(handle, descriptor, signal);
  }

  async *#verified(handle: FileHandle, descriptor: Descriptor, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const hasher = createDigestHasher(digestAlgorithm(descriptor.digest));
    let size = 0;
    try {
      for (;;) {
        throwIfAborted(signal);
        const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes);
        if (bytesRead === 0) break;
        const chunk = buffer.subarray(0, bytesRead);
        size += bytesRead;
        hasher.update(chunk);
        yield chunk;
      }
    } finally {
      await handle.close();
    }
    if (size === descriptor.size && hasher.digest() === descriptor.digest) return;
    throw new TsbuildError({
      code: 'blob-damaged',
      message: `${this.name}: the blob ${descriptor.digest} does not have that digest and ${descriptor.size} bytes`,
      hint: 'Write the layout again.',
    });
  }

  async #index(): Promise<ImageIndex> {
    let bytes: Buffer;
    try {
      bytes = await readFile(join(this.#path, 'index.json'));
    } catch (cause) {
      throw new TsbuildError({
        code: 'image-unknown',
        message: `${this.#path} is not an OCI image layout: ${systemErrorCode(cause) === 'ENOENT' ? 'it has no index.json' : 'its index.json cannot be read'}`,
        hint: 'Name a directory with index.json and blobs/.',
        cause,
      });
    }
    const document = parseManifest(bytes.subarray(0, maxManifestBytes + 1), mediaTypes.ociIndex);
    if (document.kind === 'index') return document;
    throw new TsbuildError({
      code: 'manifest-invalid',
      message: `${this.name}: index.json is not an index`,
      hint: 'Write the layout again.',
    });
  }
}
