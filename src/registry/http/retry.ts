/**
 * Tries again what failed for a passing reason: connection resets, 408, 429 and 5xx, with exponential back-off, full
 * jitter and the registry's Retry-After. A request with `retry: false` is left to its caller.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { cancelled } from '../../core/index.ts';
import { isTransient } from '../errors.ts';
import type { HttpResponse, Layer } from './message.ts';
import { drain } from './read-body.ts';

export interface RetryPolicy {
  /** Attempts in all, the first included. */
  readonly attempts: number;
  /** Milliseconds before the second attempt, on average half of it; doubled each time. */
  readonly baseDelay: number;
  /** Milliseconds; a Retry-After beyond it is not waited for. */
  readonly maxDelay: number;
}

export const defaultRetryPolicy: RetryPolicy = { attempts: 5, baseDelay: 500, maxDelay: 60_000 };

export function retryTransient(policy: RetryPolicy, now: () => number): Layer {
  return (next) => async (request) => {
    if (request.retry === false) return next(request);
    for (let attempt = 1; ; attempt += 1) {
      const last = attempt >= policy.attempts;
      let asked: number | undefined;
      try {
        const response = await next(request);
        if (last || !isTransientStatus(response.status)) return response;
        asked = retryAfter(response, now());
        if (asked !== undefined && asked > policy.maxDelay) return response;
        await drain(response);
      } catch (error) {
        if (last || !isTransient(error)) throw error;
      }
      await pause(delayBefore(policy, attempt, asked), request.signal);
    }
  };
}

export function isTransientStatus(status: number): boolean {
  return status === 408 || status === 429 || [500, 502, 503, 504, 520, 521, 522, 523, 524].includes(status);
}

/** Milliseconds to wait after the n-th failed attempt. */
export function delayBefore(policy: RetryPolicy, attempt: number, asked: number | undefined): number {
  const jittered = Math.random() * Math.min(policy.maxDelay, policy.baseDelay * 2 ** (attempt - 1));
  return Math.min(policy.maxDelay, asked === undefined ? jittered : asked + jittered / 4);
}

/** Retry-After (RFC 9110 10.2.3) in milliseconds: seconds or a date. */
export function retryAfter(response: HttpResponse, now: number): number | undefined {
  const text = response.headers.get('retry-after')?.trim();
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Waits, or throws `cancelled`. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(milliseconds, undefined, { signal });
  } catch (error) {
    if (signal.aborted) throw cancelled(signal);
    throw error;
  }
}
