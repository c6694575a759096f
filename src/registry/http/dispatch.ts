/**
 * One request through an undici dispatcher, with the body of the answer as a queue. undici's own request and fetch faces
 * are left out: per megabyte they cost 15 to 30 percent more (a Node or web stream per response).
 */
import type { Dispatcher } from 'undici';
import { cancelled } from '../../core/index.ts';
import type { HttpRequest, HttpResponse, RequestBody, ResponseBody } from './message.ts';
import { QueuedBody } from './response-body.ts';
import { transportFailure } from './transport-failure.ts';

export interface DispatchTimeouts {
  readonly headers: number;
  readonly greeting: number;
  readonly upload: number;
  readonly bodyIdle: number;
}

/**
 * Resolves with the headers; a failure of the body comes through the body.
 * @throws RegistryError, or what the source of a streamed body threw
 */
export async function dispatch(
  dispatcher: Dispatcher,
  request: HttpRequest,
  timeouts: DispatchTimeouts,
): Promise<HttpResponse> {
  const upload = request.body?.kind === 'stream' ? new SentBody(await request.body.open()) : undefined;
  try {
    return await exchange(dispatcher, request, timeouts, upload);
  } catch (error) {
    // A source that failed is why the request failed, whatever the connection says; its error is passed on as it is.
    throw upload?.failure ?? transportFailure(error, request);
  } finally {
    upload?.close();
  }
}

function exchange(
  dispatcher: Dispatcher,
  request: HttpRequest,
  timeouts: DispatchTimeouts,
  upload: SentBody | undefined,
): Promise<HttpResponse> {
  const { url, signal } = request;
  return new Promise<HttpResponse>((resolve, reject) => {
    let controller: Dispatcher.DispatchController | undefined;
    let body: QueuedBody | undefined;
    const onAbort = () => {
      const reason = cancelled(signal);
      controller?.abort(reason);
      settle(reason);
    };
    const settle = (error: unknown) => {
      signal.removeEventListener('abort', onAbort);
      if (body) body.fail(error);
      else reject(error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(started) {
        controller = started;
        if (signal.aborted) started.abort(cancelled(signal));
        else if (request.meanwhile) setImmediate(request.meanwhile);
      },
      onResponseStart(current, status, headers) {
        if (status < 200) return;
        const queue = new QueuedBody(current);
        body = queue;
        resolve({ status, headers: headerMap(headers), url, body: withFailures(queue, request) });
      },
      onResponseData(_current, chunk) {
        body?.push(chunk);
      },
      onResponseEnd() {
        signal.removeEventListener('abort', onAbort);
        // After undici has its connection back: whoever asks for more at once gets this one, not a new one.
        queueMicrotask(() => setImmediate(() => body?.finish()));
      },
      onResponseError(_current, error) {
        settle(signal.aborted ? cancelled(signal) : error);
      },
    };
    const options: Dispatcher.DispatchOptions = {
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: request.method,
      headers: { ...lengthHeader(request.body), ...request.headers },
      // undici takes any async iterable; its types name only Node's streams.
      body: (upload ?? bytesOf(request.body)) as Uint8Array | null,
      headersTimeout: headersTimeout(request, timeouts),
      bodyTimeout: timeouts.bodyIdle,
    };
    dispatcher.dispatch(options, handler);
  });
}

function headersTimeout({ method, greeting }: HttpRequest, timeouts: DispatchTimeouts): number {
  if (greeting) return timeouts.greeting;
  return method === 'PUT' || method === 'PATCH' ? timeouts.upload : timeouts.headers;
}

function bytesOf(body: RequestBody | undefined): Uint8Array | null {
  return body?.kind === 'bytes' ? body.bytes : null;
}

function lengthHeader(body: RequestBody | undefined): Record<string, string> {
  return body?.kind === 'stream' ? { 'content-length': String(body.length) } : {};
}

function headerMap(headers: Record<string, string | string[] | undefined>): ReadonlyMap<string, string> {
  const map = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) map.set(name.toLowerCase(), Array.isArray(value) ? value.join(', ') : value);
  }
  return map;
}

/** Turns what breaks a body midway into the same errors a failed request gives. */
function withFailures(queue: QueuedBody, request: HttpRequest): ResponseBody {
  const iterator: AsyncIterator<Uint8Array> = {
    next: () =>
      queue.next().catch((error) => {
        throw transportFailure(error, request);
      }),
    return: () => queue.return(),
  };
  return { [Symbol.asyncIterator]: () => iterator, discard: () => queue.discard() };
}

/** A body on its way out: remembers the source's failure and lets go of the source when the exchange is over. */
class SentBody implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array>;
  failure: unknown;
  #done = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: async () => {
        try {
          const result = await this.#source.next();
          if (result.done) this.#done = true;
          return result;
        } catch (error) {
          this.#done = true;
          this.failure = error;
          throw error;
        }
      },
      return: async () => {
        this.close();
        return { done: true, value: undefined };
      },
    };
  }

  close(): void {
    if (this.#done) return;
    this.#done = true;
    // Not awaited: a source that hangs in next() would hang us, and whatever it throws now concerns nobody.
    void this.#source.return?.().catch(() => {});
  }
}
