/** Reads small answers whole, with a bound on what a hostile server may make us hold. */
import { describeRequest, RegistryError } from '../errors.ts';
import type { HttpRequest, HttpResponse } from './message.ts';

/** @param limit bytes. @throws RegistryError `registry-protocol` when the answer is longer */
export async function readBody(request: HttpRequest, response: HttpResponse, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body) {
    length += chunk.byteLength;
    if (length > limit) {
      response.body.discard();
      throw new RegistryError({
        code: 'registry-protocol',
        message: `${describeRequest(request.method, request.url)}: the answer is longer than ${limit} bytes`,
        hint: 'Check that the address is a registry: an honest one does not answer so much.',
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Takes what is left of a short answer so that the connection can be used again; gives up after 64 KiB. */
export async function drain(response: HttpResponse): Promise<void> {
  let left = 64 * 1024;
  try {
    for await (const chunk of response.body) {
      left -= chunk.byteLength;
      if (left < 0) return response.body.discard();
    }
  } catch {
    // A body nobody wants: the connection is gone, which the next request will notice by itself.
  }
}
