/**
 * Bounds the requests in flight per host, so that an image with a hundred layers is not a hundred connections.
 * Three classes have their own slots. An upload may wait for the download it reads from, a download for small requests
 * (a chunk, a token) of the one who reads it, and small requests wait for nobody: so a copy within one registry never
 * waits in a circle, however many slots there are.
 * Invariant: a slot is held until the body of the answer ended, failed or was discarded.
 */
import { Limiter } from '../../core/index.ts';
import type { HttpRequest, HttpResponse, Layer, ResponseBody } from './message.ts';

/** @param slots requests at once per host, port and class */
export function limitPerHost(slots: number): Layer {
  const limiters = new Map<string, Limiter>();
  return (next) => (request) => {
    const key = `${classOf(request)} ${request.url.host}`;
    const limiter = limiters.get(key) ?? new Limiter(slots);
    limiters.set(key, limiter);
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

function classOf(request: HttpRequest): 'upload' | 'download' | 'small' {
  if (request.body?.kind === 'stream') return 'upload';
  return request.download ? 'download' : 'small';
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
