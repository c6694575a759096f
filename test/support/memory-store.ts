/** A place that keeps images, in memory: the other side of a copy in tests of the registry client. */
import { createHash } from 'node:crypto';
import {
  type BlobSink,
  type BlobSource,
  type Descriptor,
  type Digest,
  digestOf,
  type PutOptions,
} from '../../src/image/index.ts';

export class MemoryStore implements BlobSource, BlobSink {
  readonly name = 'the memory store';
  readonly blobs = new Map<Digest, Buffer>();
  readonly names = new Map<string, Descriptor>();
  /** How often each digest was written, and opened. */
  readonly writes: Digest[] = [];
  readonly opens: Digest[] = [];

  add(mediaType: string, bytes: Uint8Array): Descriptor {
    const digest = digestOf(bytes);
    this.blobs.set(digest, Buffer.from(bytes));
    return { mediaType, digest, size: bytes.byteLength };
  }

  async resolve(reference: string): Promise<Descriptor> {
    const found = this.names.get(reference);
    if (!found) throw new Error(`no ${reference}`);
    return found;
  }

  async open(descriptor: Descriptor): Promise<AsyncIterable<Uint8Array>> {
    const bytes = this.blobs.get(descriptor.digest);
    if (!bytes) throw new Error(`no ${descriptor.digest}`);
    this.opens.push(descriptor.digest);
    return pieces(bytes, 64 * 1024);
  }

  async has(descriptor: Descriptor): Promise<boolean> {
    return this.blobs.has(descriptor.digest);
  }

  async put(
    descriptor: Descriptor,
    open: () => Promise<AsyncIterable<Uint8Array>>,
    options: PutOptions,
  ): Promise<'written'> {
    const chunks: Uint8Array[] = [];
    let done = 0;
    for await (const chunk of await open()) {
      chunks.push(Uint8Array.from(chunk));
      done += chunk.byteLength;
      options.onProgress?.(done);
    }
    const bytes = Buffer.concat(chunks);
    const algorithm = descriptor.digest.slice(0, 6);
    const digest = `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
    if (digest !== descriptor.digest || bytes.byteLength !== descriptor.size) {
      throw new Error(`${descriptor.digest} was put with other bytes`);
    }
    this.blobs.set(descriptor.digest, bytes);
    this.writes.push(descriptor.digest);
    return 'written';
  }

  async tag(descriptor: Descriptor, reference: string): Promise<void> {
    this.names.set(reference, descriptor);
  }
}

export async function* pieces(bytes: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size);
}
