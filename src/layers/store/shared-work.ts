/**
 * Work that several callers of one process want at the same time is done once.
 * Invariant: the work is aborted when the last caller that waits for it has gone, and not before.
 */
import { cancelled, throwIfAborted } from '../../core/index.ts';

interface Running<T> {
  readonly result: Promise<T>;
  readonly controller: AbortController;
  waiting: number;
}

export class SharedWork<T> {
  readonly #running = new Map<string, Running<T>>();

  /** @throws TsbuildError `cancelled` as soon as the caller's own signal aborts */
  async run(key: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    throwIfAborted(signal);
    const running = this.#running.get(key) ?? this.#start(key, work);
    running.waiting += 1;
    let leave: () => void = () => {};
    const left = new Promise<never>((_, reject) => {
      leave = () => reject(cancelled(signal));
      signal.addEventListener('abort', leave, { once: true });
    });
    try {
      return await Promise.race([running.result, left]);
    } finally {
      signal.removeEventListener('abort', leave);
      running.waiting -= 1;
      if (running.waiting === 0 && this.#running.get(key) === running) {
        this.#running.delete(key);
        running.controller.abort(signal.reason);
      }
    }
  }

  #start(key: string, work: (signal: AbortSignal) => Promise<T>): Running<T> {
    const controller = new AbortController();
    const result = work(controller.signal).finally(() => {
      if (this.#running.get(key) === running) this.#running.delete(key);
    });
    const running: Running<T> = { result, controller, waiting: 0 };
    result.catch(() => {
      // Thrown to every caller that still waits; with none left there is nobody to tell.
    });
    this.#running.set(key, running);
    return running;
  }
}
