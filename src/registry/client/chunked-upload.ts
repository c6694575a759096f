/**
 * Uploads in chunks (distribution spec, "Pushing a blob in chunks"): PATCH after PATCH, then a PUT that names the
 * digest. A chunk is held in memory, so after a break it can be sent again from where the registry says it stands.
 */
import type { Descriptor, PutOptions } from '../../image/index.ts';
import { isRegistryError, isTransient, protocolError } from '../errors.ts';
import { drain } from '../http/read-body.ts';
import { resolveLocation } from '../http/redirects.ts';
import { delayBefore, pause } from '../http/retry.ts';
import { counted, type Exchange, type UploadPort, type UploadSession, withDigest } from './upload-session.ts';

const defaultChunk = 8 * 1024 * 1024;
const smallestChunk = 256 * 1024;

export async function sendChunks(
  port: UploadPort,
  session: UploadSession,
  descriptor: Descriptor,
  open: () => Promise<AsyncIterable<Uint8Array>>,
  options: PutOptions,
): Promise<void> {
  const { signal } = options;
  const size = Math.max(session.minChunk, port.chunkSize || defaultChunk);
  const upload = new ChunkedUpload(port, session, signal);
  for await (const chunk of inChunks(counted(await open(), descriptor, undefined), size)) {
    await upload.send(chunk);
    options.onProgress?.(upload.sent);
  }
  await upload.finish(descriptor);
}

class ChunkedUpload {
  readonly #port: UploadPort;
  readonly #signal: AbortSignal;
  readonly #minChunk: number;
  #location: URL;
  #limit = Number.POSITIVE_INFINITY;
  /** Bytes the registry holds. */
  sent = 0;

  constructor(port: UploadPort, session: UploadSession, signal: AbortSignal) {
    this.#port = port;
    this.#location = session.location;
    this.#minChunk = Math.max(session.minChunk, smallestChunk);
    this.#signal = signal;
  }

  async send(chunk: Uint8Array): Promise<void> {
    const start = this.sent;
    const end = start + chunk.byteLength;
    for (let failures = 0; this.sent < end; ) {
      const piece = chunk.subarray(this.sent - start, Math.min(chunk.byteLength, this.sent - start + this.#limit));
      try {
        await this.#patch(piece);
        failures = 0;
      } catch (error) {
        if (isRegistryError(error) && error.status === 413 && piece.byteLength > this.#minChunk) {
          this.#limit = Math.max(this.#minChunk, Math.floor(piece.byteLength / 2));
          continue;
        }
        const misplaced = isRegistryError(error) && error.status === 416;
        failures += 1;
        if (failures >= this.#port.retry.attempts || !(misplaced || isTransient(error))) throw error;
        await pause(delayBefore(this.#port.retry, failures, undefined), this.#signal);
        await this.#resume(start, end);
      }
    }
  }

  async finish(descriptor: Descriptor): Promise<void> {
    const { response } = await this.#expect('PUT', withDigest(this.#location, descriptor), undefined, {}, [201, 204]);
    await drain(response);
  }

  async #patch(piece: Uint8Array): Promise<void> {
    const headers = {
      'content-type': 'application/octet-stream',
      'content-range': `${this.sent}-${this.sent + piece.byteLength - 1}`,
    };
    const exchange = await this.#expect('PATCH', this.#location, piece, headers, [202, 204]);
    await drain(exchange.response);
    this.#follow(exchange);
    this.sent += piece.byteLength;
  }

  /** Asks where the registry stands; what lies outside the chunk in memory cannot be sent again in this session. */
  async #resume(start: number, end: number): Promise<void> {
    const exchange = await this.#expect('GET', this.#location, undefined, undefined, [204, 200]);
    await drain(exchange.response);
    this.#follow(exchange);
    const range = /^(?:bytes=)?0-(\d+)$/.exec(exchange.response.headers.get('range') ?? '');
    // "0-0" stands for nothing as well as for one byte; a first byte sent twice would be noticed by the digest only.
    const held = range ? (range[1] === '0' ? 0 : Number(range[1]) + 1) : 0;
    if (held < start || held > end) {
      throw protocolError(
        'GET',
        exchange.request.url,
        `the upload stands at ${held}, which is not between ${start} and ${end}`,
      );
    }
    this.sent = held;
  }

  #follow({ request, response }: Exchange): void {
    if (response.headers.has('location')) this.#location = resolveLocation(request, response, 'the upload location');
  }

  #expect(
    method: 'PATCH' | 'PUT' | 'GET',
    target: URL,
    bytes: Uint8Array | undefined,
    headers: Record<string, string> | undefined,
    statuses: readonly number[],
  ): Promise<Exchange> {
    return this.#port.expect(
      {
        method,
        target,
        scopes: this.#port.scopes(),
        signal: this.#signal,
        retry: method === 'GET',
        ...(bytes ? { body: { kind: 'bytes', bytes } } : method === 'PUT' && { headers: { 'content-length': '0' } }),
        ...(bytes && headers && { headers }),
      },
      statuses,
    );
  }
}

async function* inChunks(bytes: AsyncIterable<Uint8Array>, size: number): AsyncIterable<Uint8Array> {
  let parts: Uint8Array[] = [];
  let held = 0;
  for await (let chunk of bytes) {
    while (held + chunk.byteLength >= size) {
      const cut = size - held;
      yield Buffer.concat([...parts, chunk.subarray(0, cut)]);
      chunk = chunk.subarray(cut);
      parts = [];
      held = 0;
    }
    // A source may use its buffer again for the next chunk.
    if (chunk.byteLength > 0) parts.push(Uint8Array.from(chunk));
    held += chunk.byteLength;
  }
  if (held > 0) yield Buffer.concat(parts);
}
