/**
 * What the two ways of uploading share: the session a registry opened, the requests it takes, and a source whose length
 * is watched.
 */
import type { Descriptor } from '../../image/index.ts';
import { RegistryError } from '../errors.ts';
import type { HttpRequest, HttpResponse } from '../http/message.ts';
import type { RetryPolicy } from '../http/retry.ts';
import type { EndpointRequest } from './endpoint.ts';

export type Exchange = { readonly request: HttpRequest; readonly response: HttpResponse };

export interface UploadPort {
  readonly retry: RetryPolicy;
  /** Bytes; 0: whole blobs. */
  readonly chunkSize: number;
  /** `name/blobs/uploads/`, below /v2/. */
  readonly uploadsPath: string;
  expect(request: EndpointRequest, statuses: readonly number[]): Promise<Exchange>;
  /** Scopes for this repository, and for reading others when mounting. */
  scopes(from?: string): readonly string[];
  exists(signal: AbortSignal): Promise<boolean>;
}

export interface UploadSession {
  readonly location: URL;
  /** Bytes: the least a chunk may have (OCI-Chunk-Min-Length). */
  readonly minChunk: number;
}

export function withDigest(location: URL, descriptor: Descriptor): URL {
  const url = new URL(location);
  url.searchParams.set('digest', descriptor.digest);
  return url;
}

/**
 * Passes bytes on, tells how many, and refuses a source whose length is not the descriptor's. Not a generator: one that
 * was never started does not close its source.
 */
export function counted(
  bytes: AsyncIterable<Uint8Array>,
  descriptor: Descriptor,
  onProgress: ((bytes: number) => void) | undefined,
): AsyncIterable<Uint8Array> {
  const source = bytes[Symbol.asyncIterator]();
  let done = 0;
  const iterator: AsyncIterator<Uint8Array> = {
    async next() {
      // Asked for more: what was handed over before has been taken.
      if (done > 0) onProgress?.(done);
      const result = await source.next();
      if (result.done) {
        if (done !== descriptor.size) throw lengthError(descriptor, `${done} instead of ${descriptor.size}`);
        return result;
      }
      done += result.value.byteLength;
      if (done > descriptor.size) throw lengthError(descriptor, `more than ${descriptor.size}`);
      return result;
    },
    async return() {
      await source.return?.();
      return { done: true, value: undefined };
    },
  };
  return { [Symbol.asyncIterator]: () => iterator };
}

function lengthError(descriptor: Descriptor, what: string): RegistryError {
  return new RegistryError({
    code: 'registry-digest-mismatch',
    message: `the blob ${descriptor.digest} to upload has ${what} bytes`,
    hint: 'The place it comes from holds a damaged blob: pull or build the image again.',
  });
}
