/** Lets the disk write a file while it grows: most of a large one is there when somebody waits for that. */
import type { NativeLayers } from './addon.ts';
import { loadAddon } from './load-addon.ts';

/** Bytes. */
const step = 16 * 1024 * 1024;

export class EarlyWriteback {
  readonly #fd: number;
  #begun = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** @param size bytes that were written so far */
  reached(size: number): void {
    if (size - this.#begun < step) return;
    loadAddon<NativeLayers>().startWriteback(this.#fd, this.#begun, size - this.#begun);
    this.#begun = size;
  }
}
