/**
 * Entry of the thread that hashes downloads (dist/layers-hasher.js); hash-thread.ts says what for.
 * Invariant: every request to end gets exactly one reply; what was opened is closed when its file has ended or is forgotten.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { createDigestHasher, type DigestHasher } from '../../image/index.ts';
import { native } from '../native/addon.ts';
import type { HashedFile, HashReply, HashRequest } from './hash-messages.ts';

const buffer = Buffer.allocUnsafe(1024 * 1024);
const files = new Map<number, GrowingFile>();

class GrowingFile {
  readonly #fd: number;
  readonly #hasher: DigestHasher;
  #at = 0;

  constructor({ path, algorithm }: HashedFile) {
    this.#fd = openSync(path, 'r');
    this.#hasher = createDigestHasher(algorithm);
  }

  /** To `size`, or as far as there is something. */
  hash(size: number): void {
    const from = this.#at;
    while (this.#at < size) {
      const count = readSync(this.#fd, buffer, 0, Math.min(buffer.length, size - this.#at), this.#at);
      if (count === 0) break;
      this.#hasher.update(buffer.subarray(0, count));
      this.#at += count;
    }
    native.startWriteback(this.#fd, from, this.#at - from);
  }

  digest() {
    return this.#hasher.digest();
  }

  close(): void {
    closeSync(this.#fd);
  }
}

parentPort?.on('message', (request: HashRequest) => {
  const { number, path } = request.file;
  try {
    if (request.kind === 'forget') return drop(number);
    const file = files.get(number) ?? new GrowingFile(request.file);
    files.set(number, file);
    file.hash(request.size);
    if (request.kind === 'end') reply({ kind: 'digest', number, digest: file.digest() });
  } catch (error) {
    // One that cannot be read while it grows is told of at its end.
    if (request.kind === 'end')
      reply({ kind: 'failed', number, path, reason: error instanceof Error ? error.message : '' });
  }
  if (request.kind === 'end') drop(number);
});

function drop(number: number): void {
  files.get(number)?.close();
  files.delete(number);
}

function reply(message: HashReply): void {
  parentPort?.postMessage(message);
}
