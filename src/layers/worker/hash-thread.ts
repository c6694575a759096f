/**
 * A thread that hashes files while they are being written: to read the bytes once more from the page cache, on another
 * core, takes less time from the thread that receives them than to hash them there. It also has the disk begin to write
 * what is there, so that the sync at the end finds little to do.
 * Invariant: a digest is over what the file holds, from its first byte to the size it was asked for.
 */
import { Worker } from 'node:worker_threads';
import { distPath, TsbuildError } from '../../core/index.ts';
import type { Digest } from '../../image/index.ts';
import type { HashedFile, HashReply, HashRequest } from './hash-messages.ts';

/** Bytes that are worth a message. */
const piece = 4 * 1024 * 1024;

interface Waiting {
  readonly resolve: (digest: Digest) => void;
  readonly reject: (error: TsbuildError) => void;
}

export class HashThread {
  readonly #worker = new Worker(distPath('layers-hasher.js'));
  readonly #waiting = new Map<number, Waiting>();
  #numbers = 0;
  #lost: TsbuildError | undefined;

  constructor() {
    this.#worker.unref();
    this.#worker.on('message', (reply: HashReply) => this.#answered(reply));
    this.#worker.on('error', (cause) => this.#end(cause));
    this.#worker.on('exit', () => this.#end(undefined));
  }

  /** Begins with a file that is there, and may grow. */
  file(path: string, algorithm: HashedFile['algorithm']): GrowingHash {
    this.#numbers += 1;
    return new GrowingHash({ number: this.#numbers, path, algorithm }, this);
  }

  /** For `GrowingHash`. */
  post(request: HashRequest): void {
    this.#worker.postMessage(request);
  }

  /** For `GrowingHash`. */
  answer(number: number): Promise<Digest> {
    if (this.#lost) return Promise.reject(this.#lost);
    this.#worker.ref();
    return new Promise((resolve, reject) => this.#waiting.set(number, { resolve, reject }));
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #answered(reply: HashReply): void {
    const waiting = this.#waiting.get(reply.number);
    this.#waiting.delete(reply.number);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (reply.kind === 'digest') waiting?.resolve(reply.digest);
    else waiting?.reject(new TsbuildError({ code: 'store-io', message: `cannot read ${reply.path}: ${reply.reason}` }));
  }

  #end(cause: unknown): void {
    this.#lost ??= new TsbuildError({
      code: 'worker-failed',
      message: `the thread that hashes downloads ended${cause instanceof Error ? `: ${cause.message}` : ''}`,
      hint: 'Run the command again; if it stays so, free memory or report a bug.',
      cause,
    });
    for (const { reject } of this.#waiting.values()) reject(this.#lost);
    this.#waiting.clear();
  }
}

export class GrowingHash {
  readonly #file: HashedFile;
  readonly #thread: HashThread;
  #told = 0;

  constructor(file: HashedFile, thread: HashThread) {
    this.#file = file;
    this.#thread = thread;
  }

  /** @param size bytes the file has by now; the last few may still be on their way to it */
  grown(size: number): void {
    if (size - this.#told < piece) return;
    this.#told = size;
    this.#thread.post({ kind: 'grown', file: this.#file, size });
  }

  /** Of the first `size` bytes, which are all there. @throws TsbuildError `store-io`, `worker-failed` */
  digest(size: number): Promise<Digest> {
    this.#thread.post({ kind: 'end', file: this.#file, size });
    return this.#thread.answer(this.#file.number);
  }

  /** Nobody will ask for the digest. */
  forget(): void {
    this.#thread.post({ kind: 'forget', file: this.#file });
  }
}
