/**
 * Root directories of trees, kept open: the steps of a build look at the same layers again and again, and opening a
 * hundred of them takes longer than what most steps change takes to be packed.
 * Invariant: what `open` gave stays open until the next `open` or `close`.
 */
import { closeSync } from 'node:fs';
import { openRoot } from './directory-handles.ts';

export class OpenRoots {
  readonly #open = new Map<string, number>();
  readonly #capacity: number;

  /** @param capacity descriptors kept at most, but for those of one call */
  constructor(capacity = 256) {
    this.#capacity = capacity;
  }

  /** @returns their descriptors in the same order */
  open(paths: readonly string[]): number[] {
    const roots = paths.map((path) => {
      const root = this.#open.get(path) ?? openRoot(path);
      // Put at the end: the least recently used is the first.
      this.#open.delete(path);
      this.#open.set(path, root);
      return root;
    });
    for (const [path, root] of this.#open) {
      if (this.#open.size <= Math.max(this.#capacity, paths.length)) break;
      closeSync(root);
      this.#open.delete(path);
    }
    return roots;
  }

  close(): void {
    for (const root of this.#open.values()) closeSync(root);
    this.#open.clear();
  }
}
