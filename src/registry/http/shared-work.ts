/** Work that several callers wait for: each may leave, the work goes on for the others. */
import { cancelled } from '../../core/index.ts';

/** The promise's outcome, or `cancelled` as soon as this caller's signal aborts. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const leave = () => reject(cancelled(signal));
    if (signal.aborted) leave();
    signal.addEventListener('abort', leave, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
}
