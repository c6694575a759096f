/**
 * Tells `prune` in other processes what this one relies on: whoever finds a blob, a snapshot or a layer's index and
 * means to use it, or puts it there, sets its mtime to now. `prune` keeps what was used since the oldest living process made itself known.
 * Invariant: a use and a removal cannot cross. A use is marked under the shared lock, and `prune` looks at the mark and
 * removes under the exclusive one. Both hold it for microseconds.
 */
import { renameSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { isTsbuildError, systemErrorCode } from '../../core/index.ts';
import { storeFailure } from './failures.ts';
import { type LockMode, lockBriefly } from './kernel-lock.ts';
import { type Layout, withFolderOf } from './layout.ts';
import type { Presence } from './presence.ts';

export class UsageMarks {
  readonly #layout: Layout;
  readonly #presence: Presence;
  readonly #marked = new Set<string>();

  constructor(layout: Layout, presence: Presence) {
    this.#layout = layout;
    this.#presence = presence;
  }

  /** Whether the file or folder is there; if so it stays until this process ends. */
  use(path: string): boolean {
    const exists = statSync(path, { throwIfNoEntry: false }) !== undefined;
    if (!exists) this.#marked.delete(path);
    if (!exists || this.#marked.has(path)) return exists;
    try {
      // First known, then marked: the other order would leave a moment in which the mark counts for nothing.
      this.#presence.enter();
      using _lock = lockForRemoval(this.#layout, 'shared');
      const now = Date.now() / 1000;
      utimesSync(path, now, now);
    } catch (error) {
      const code = systemErrorCode(isTsbuildError(error) ? error.cause : error);
      if (code === 'ENOENT') return false;
      // A store that only may be read is not pruned under us by whoever may only read it, too.
      if (code === 'EROFS' || code === 'EACCES' || code === 'EPERM') return true;
      throw storeFailure(error, `cannot use ${path}`);
    }
    this.#marked.add(path);
    return true;
  }

  /** Gives one draft its name (see `Placing`). */
  place(draft: string, path: string): void {
    using placing = this.placing();
    placing.place(draft, path);
  }

  placing(): Placing {
    return new Placing(this.#layout, this.#presence, this.#marked);
  }
}

/** Names for several drafts under one lock; to be disposed of before the next await. */
export class Placing implements Disposable {
  readonly #layout: Layout;
  readonly #presence: Presence;
  readonly #marked: Set<string>;
  #lock: Disposable | undefined;

  constructor(layout: Layout, presence: Presence, marked: Set<string>) {
    this.#layout = layout;
    this.#presence = presence;
    this.#marked = marked;
  }

  /**
   * Gives a draft its name, over a file that has it, and marks it as `use` does. A rename alone would bring back the time
   * at which the draft was written, and take from the name the mark of a process that began later. Throws what rename does.
   */
  place(draft: string, path: string): void {
    this.#presence.enter();
    this.#lock ??= lockForRemoval(this.#layout, 'shared');
    withFolderOf(path, () => renameSync(draft, path));
    const now = Date.now() / 1000;
    utimesSync(path, now, now);
    this.#marked.add(path);
  }

  [Symbol.dispose](): void {
    this.#lock?.[Symbol.dispose]();
    this.#lock = undefined;
  }
}

/** The lock between marking and removing. Hold it briefly. */
export function lockForRemoval(layout: Layout, mode: LockMode): Disposable {
  return lockBriefly(join(layout.locks, 'removal'), mode);
}
