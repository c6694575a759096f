/**
 * Bounds how many asynchronous tasks run at once.
 * Invariant: a slot is given back exactly once, whatever the task does; a waiter whose signal aborts never takes one.
 */
import { setMaxListeners } from 'node:events';
import { cancelled, throwIfAborted } from './errors.ts';

export class Limiter {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  /** @param slots how many tasks may run at once; at least 1. */
  constructor(slots: number) {
    this.#free = Math.max(1, Math.floor(slots));
  }

  /** Runs `task` when a slot is free. Throws `cancelled` when the signal aborts before that. */
  async run<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    throwIfAborted(signal);
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(signal);
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    // One listener a waiter is what is meant: Node's leak warning would only confuse the user.
    setMaxListeners(0, signal);
    return new Promise((resolve, reject) => {
      const take = () => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1);
        reject(cancelled(signal));
      };
      this.#waiting.push(take);
      signal.addEventListener('abort', leave, { once: true });
    });
  }
}

/**
 * Runs every task at once (bounded by the tasks themselves); when one fails the others are aborted and awaited, then
 * the first failure is thrown. Nothing is left running behind the caller's back.
 */
export async function allOrNothing<T>(
  signal: AbortSignal,
  tasks: readonly ((signal: AbortSignal) => Promise<T>)[],
): Promise<T[]> {
  const controller = new AbortController();
  const joined = AbortSignal.any([signal, controller.signal]);
  setMaxListeners(0, joined, signal);
  let failed = false;
  let failure: unknown;
  const results = await Promise.all(
    tasks.map(async (task) => {
      try {
        return await task(joined);
      } catch (error) {
        if (!failed) {
          failed = true;
          failure = error;
          controller.abort(error);
        }
        return undefined;
      }
    }),
  );
  if (failed) throw failure;
  return results as T[];
}
