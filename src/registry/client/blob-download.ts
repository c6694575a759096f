/**
 * Reads a blob and verifies it while it passes. After a break the rest is asked for by Range and the running hash goes
 * on, so no byte that arrived is fetched twice.
 * Invariant: the iteration ends without an error only when the size is right and, unless the port leaves hashing to its
 * user, the digest.
 */
import { createDigestHasher, type Descriptor, digestAlgorithm } from '../../image/index.ts';
import { describeRequest, isTransient, protocolError, RegistryError } from '../errors.ts';
import type { HttpRequest, HttpResponse } from '../http/message.ts';
import { delayBefore, pause, type RetryPolicy } from '../http/retry.ts';

export interface DownloadPort {
  readonly retry: RetryPolicy;
  /** False: whoever reads the bytes computes their digest. Default: true. */
  readonly verify?: boolean;
  /** Bytes of the beginning that the reader has already; then nothing can be verified here. Default: 0. */
  readonly from?: number;
  /**
   * Asks for the blob from a byte on; resolves with 200 or 206, throws everything else.
   * @param failures breaks since the last byte
   */
  fetch(offset: number, failures: number): Promise<{ readonly request: HttpRequest; readonly response: HttpResponse }>;
}

/** Resolves when the registry has begun to answer; the bytes come from the iterable. */
export async function downloadBlob(
  port: DownloadPort,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const from = port.from ?? 0;
  const first = await port.fetch(from, 0);
  const iterator = verified(port, descriptor, signal, first, from);
  return {
    [Symbol.asyncIterator]: () => ({
      next: () => iterator.next(),
      async return() {
        // A generator that was never started does not run its finally.
        first.response.body.discard();
        await iterator.return(undefined);
        return { done: true, value: undefined };
      },
    }),
  };
}

type Exchange = Awaited<ReturnType<DownloadPort['fetch']>>;

async function* verified(
  port: DownloadPort,
  descriptor: Descriptor,
  signal: AbortSignal,
  first: Exchange,
  from: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hasher = port.verify === false ? undefined : createDigestHasher(digestAlgorithm(descriptor.digest));
  const { size } = descriptor;
  let received = from;
  let exchange: Exchange = first;
  let skip = from === 0 ? 0 : skipFor(first, from, size);
  let failures = 0;
  try {
    for (;;) {
      const { request, response } = exchange;
      let failure: unknown;
      try {
        for await (const whole of response.body) {
          const chunk = skip === 0 ? whole : whole.subarray(Math.min(skip, whole.byteLength));
          skip -= whole.byteLength - chunk.byteLength;
          if (chunk.byteLength === 0) continue;
          received += chunk.byteLength;
          if (received > size) throw sizeError(request, descriptor, `more than the ${size} bytes it should have`);
          hasher?.update(chunk);
          failures = 0;
          yield chunk;
        }
      } catch (error) {
        if (!isTransient(error)) throw error;
        failure = error;
      }
      if (received === size && failure === undefined) break;
      failures += 1;
      if (failures >= port.retry.attempts) throw truncatedError(request, descriptor, received, failure);
      await pause(delayBefore(port.retry, failures, undefined), signal);
      exchange = await port.fetch(received, failures);
      skip = skipFor(exchange, received, size);
    }
    const actual = hasher?.digest() ?? descriptor.digest;
    if (actual !== descriptor.digest) {
      throw new RegistryError({
        code: 'registry-digest-mismatch',
        message: `${describeRequest(first.request.method, first.request.url)}: the bytes have the digest ${actual}`,
        hint: 'Run the command again; if it fails again, the registry or a proxy in front of it holds a damaged blob.',
      });
    }
  } finally {
    exchange.response.body.discard();
  }
}

/** How many bytes at the start of an answer were received before: 0 when the registry honoured the Range. */
function skipFor({ request, response }: Exchange, received: number, size: number): number {
  if (response.status !== 206) return received;
  const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
  if (range && Number(range[1]) === received && (range[3] === '*' || Number(range[3]) === size)) return 0;
  response.body.discard();
  throw protocolError(request.method, request.url, `asked for bytes from ${received}, was given another range`);
}

function sizeError(request: HttpRequest, descriptor: Descriptor, what: string): RegistryError {
  return new RegistryError({
    code: 'registry-digest-mismatch',
    message: `${describeRequest(request.method, request.url)}: the blob ${descriptor.digest} has ${what}`,
    hint: 'Run the command again; if it fails again, the image in the registry is damaged and must be pushed again.',
  });
}

function truncatedError(request: HttpRequest, descriptor: Descriptor, received: number, cause: unknown): RegistryError {
  return new RegistryError({
    code: 'registry-truncated',
    message: `${describeRequest(request.method, request.url)}: the answer ended after ${received} of ${descriptor.size} bytes`,
    hint: 'Run the command again; what is complete is not fetched again.',
    transient: true,
    ...(cause !== undefined && { cause }),
  });
}
