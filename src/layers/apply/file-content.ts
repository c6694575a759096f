/**
 * The content of the file an archive is delivering: kept in memory while it is small, written as it comes when not.
 * Invariant: at most one file is open; holes of sparse files stay holes.
 */
import { closeSync } from 'node:fs';
import type { BytePath } from '../../core/index.ts';
import type { TarEntry } from '../tar/tar-entry.ts';
import type { Target } from './target.ts';

const smallFile = 128 * 1024;

export class FileContent {
  readonly #target: Target;
  readonly #entry: TarEntry;
  readonly #directory: BytePath;
  readonly #name: string;
  readonly #small: boolean;
  #fd: number | undefined;
  #whole: Buffer | undefined;
  #filled = 0;

  constructor(target: Target, entry: TarEntry, directory: BytePath, name: string) {
    this.#target = target;
    this.#entry = entry;
    this.#directory = directory;
    this.#name = name;
    this.#small = entry.size <= smallFile && entry.segments === undefined;
    if (!this.#small) this.#fd = target.createFile(directory, name);
  }

  write(chunk: Buffer, position: number): void {
    if (this.#fd !== undefined) {
      this.#target.writeAt(this.#fd, chunk, position);
    } else if (chunk.length === this.#entry.size) {
      // The reader ends the entry before it lets go of the chunk: no copy is needed.
      this.#whole = chunk;
    } else {
      this.#whole ??= Buffer.allocUnsafe(this.#entry.size);
      chunk.copy(this.#whole, this.#filled);
      this.#filled += chunk.length;
    }
  }

  end(): void {
    if (this.#fd === undefined) {
      this.#target.writeFile(this.#directory, this.#name, this.#whole ?? Buffer.alloc(0), this.#entry);
      return;
    }
    const size = this.#entry.segments ? this.#entry.size : undefined;
    this.#target.finishFile(this.#fd, this.#entry, this.#entry.name, size);
    this.close();
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
