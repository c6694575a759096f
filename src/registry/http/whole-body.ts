/** Reads answers that are wanted whole before anyone above sees them: a break in the body is then a break of the request. */
import type { HttpResponse, Layer } from './message.ts';
import { readBody } from './read-body.ts';

export function readWholeBodies(): Layer {
  return (next) => async (request) => {
    const response = await next(request);
    if (request.readWhole === undefined || response.status !== 200) return response;
    const bytes = await readBody(request, response, request.readWhole);
    return { ...response, body: bodyOf(bytes) };
  };
}

function bodyOf(bytes: Uint8Array): HttpResponse['body'] {
  return {
    async *[Symbol.asyncIterator]() {
      yield bytes;
    },
    discard: () => {},
  };
}
