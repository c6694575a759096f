/**
 * A file that is read in pieces while somebody may still write it, at its end and nowhere else.
 * Invariants: a piece that is handed out is there and stays as it is; the descriptor reaches the file whatever becomes of
 * its name.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { storeFailure } from '../store/failures.ts';

export interface FilePiece {
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
  /** Nothing follows it. */
  readonly last: boolean;
}

export class GrowingFile implements Disposable {
  /** For messages. */
  readonly path: string;
  readonly fd: number;
  #written = 0;
  #isComplete = false;
  #failure: unknown;
  #wake: () => void = () => {};

  constructor(path: string) {
    this.path = path;
    try {
      this.fd = openSync(path, 'r');
    } catch (error) {
      throw storeFailure(error, `cannot read ${path}`);
    }
  }

  /** One that nobody writes any more. */
  static complete(path: string): GrowingFile {
    const file = new GrowingFile(path);
    file.end(fstatSync(file.fd).size);
    return file;
  }

  get size(): number {
    return this.#written;
  }

  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** @param written bytes that are in the file */
  grow(written: number): void {
    this.#written = written;
    this.#wake();
  }

  end(size: number): void {
    this.#isComplete = true;
    this.grow(size);
  }

  /** Whoever waits for more gets this failure instead. */
  abandon(failure: unknown): void {
    this.#failure = failure ?? new Error('it was given up');
    this.#wake();
  }

  /** Every piece but the last has the size; undefined: it is not there yet, or there is none. An empty file has one. */
  piece(number: number, size: number): FilePiece | undefined {
    const offset = number * size;
    const length = Math.min(size, this.#written - offset);
    if (this.#isComplete) {
      const isThere = length > 0 || (number === 0 && length === 0);
      return isThere ? { offset, length, last: offset + length === this.#written } : undefined;
    }
    // A byte more tells that it is not the last.
    return this.#written > offset + size ? { offset, length, last: false } : undefined;
  }

  /** Resolves when there is more, or the file is complete; to be called after `piece` in the same turn. */
  async more(): Promise<void> {
    if (this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}
