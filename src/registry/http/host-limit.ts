/**
 * Bounds the requests in flight per host, so that an image with a hundred layers is not a hundred connections.
 * Invariant: a slot is held until the body of the answer ended, failed or was discarded.
 */
import { Limiter } from '../../core/index.ts';
import type { HttpResponse, Layer, ResponseBody } from './message.ts';

/** @param slots requests at once per host and port */
export function limitPerHost(slots: number): Layer {
  const limiters = new Map<string, Limiter>();
  return (next) => (request) => {
    const limiter = limiters.get(request.url.host) ?? new Limiter(slots);
    limiters.set(request.url.host, limiter);
    return new Promise<HttpResponse>((resolve, reject) => {
      limiter
        .run(request.signal, async () => {
          const response = await next(request);
          await new Promise<void>((release) => resolve({ ...response, body: watched(response.body, release) }));
        })
        .catch(reject);
    });
  };
}

function watched(body: ResponseBody, onEnd: () => void): ResponseBody {
  const iterator = body[Symbol.asyncIterator]();
  const stop = () => {
    body.discard();
    onEnd();
  };
  const watching: AsyncIterator<Uint8Array> = {
    next: () =>
      iterator.next().then(
        (result) => {
          if (result.done) onEnd();
          return result;
        },
        (error) => {
          onEnd();
          throw error;
        },
      ),
    return: async () => {
      stop();
      return { done: true, value: undefined };
    },
  };
  return { [Symbol.asyncIterator]: () => watching, discard: stop };
}
