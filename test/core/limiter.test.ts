import { describe, expect, test } from 'vitest';
import { allOrNothing, Limiter, TsbuildError } from '../../src/core/index.ts';

const never = new AbortController().signal;

describe('a limiter', () => {
  test('never runs more tasks at once than it has slots, and runs them all', async () => {
    const limiter = new Limiter(3);
    let running = 0;
    let most = 0;
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        limiter.run(never, async () => {
          running += 1;
          most = Math.max(most, running);
          await new Promise(setImmediate);
          running -= 1;
          return n;
        }),
      ),
    );
    expect(most).toBe(3);
    expect(results).toEqual(Array.from({ length: 20 }, (_, n) => n));
  });

  test('gives the slot of a failed task to the next', async () => {
    const limiter = new Limiter(1);
    await expect(limiter.run(never, () => Promise.reject(new Error('first')))).rejects.toThrow('first');
    await expect(limiter.run(never, async () => 'second')).resolves.toBe('second');
  });

  test('lets a waiter whose signal aborts go without taking a slot', async () => {
    const limiter = new Limiter(1);
    let finish = () => {};
    const held = limiter.run(never, () => new Promise<void>((resolve) => (finish = resolve)));
    const controller = new AbortController();
    const waiting = limiter.run(controller.signal, async () => 'ran');
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
    finish();
    await held;
    await expect(limiter.run(never, async () => 'free')).resolves.toBe('free');
  });
});

describe('all or nothing', () => {
  test('aborts the other tasks on the first failure, waits for them, and throws that failure', async () => {
    const seen: string[] = [];
    const waiting = (signal: AbortSignal) =>
      new Promise<never>((_, reject) =>
        signal.addEventListener('abort', () => {
          seen.push('aborted');
          reject(new Error('late'));
        }),
      );
    const failing = async () => {
      await new Promise(setImmediate);
      throw new TsbuildError({ code: 'internal', message: 'the first' });
    };
    await expect(allOrNothing(never, [waiting, failing])).rejects.toThrow('the first');
    expect(seen).toEqual(['aborted']);
  });
});
