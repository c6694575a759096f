/** Blobs of the server: reading with ranges, and the three ways of uploading (distribution spec, "Pushing blobs"). */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { assertNever, isTsbuildError, type Limiter } from '../../core/index.ts';
import { type Descriptor, type Digest, isDigest } from '../../image/index.ts';
import { Refusal, sendEmpty } from './answer.ts';
import type { ServedStorage } from './storage.ts';
import type { Upload, UploadSessions } from './upload-sessions.ts';

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  readonly signal: AbortSignal;
  readonly now: number;
}

const octets = 'application/octet-stream';

export async function readBlob(storage: ServedStorage, digest: Digest, exchange: Exchange): Promise<void> {
  const { request, response, signal } = exchange;
  const size = await storage.sizeOf(digest);
  if (size === undefined) throw new Refusal(404, 'BLOB_UNKNOWN', 'no such blob');
  const range = rangeOf(request.headers.range, size);
  const headers = { 'content-type': octets, 'docker-content-digest': digest, 'accept-ranges': 'bytes' };
  if (range === 'unsatisfiable') {
    response.setHeader('content-range', `bytes */${size}`);
    throw new Refusal(416, 'SIZE_INVALID', 'the blob has no such range');
  }
  const { start, end } = range ?? { start: 0, end: size - 1 };
  response.writeHead(range ? 206 : 200, {
    ...headers,
    'content-length': end - start + 1,
    ...(range && { 'content-range': `bytes ${start}-${end}/${size}` }),
  });
  if (request.method === 'HEAD') return void response.end();
  if (range && storage.openRange) return await pour(await storage.openRange(digest, start, end), response);
  const descriptor: Descriptor = { mediaType: octets, digest, size };
  await pour(slice(await storage.content.open(descriptor, signal), start, end + 1), response);
}

/** POST: mounts, takes a whole blob at once, or opens a session. */
export async function startUpload(
  storage: ServedStorage,
  sessions: UploadSessions,
  repository: string,
  exchange: Exchange,
): Promise<void> {
  const { query, response, now } = exchange;
  const mount = query.get('mount');
  if (isDigest(mount) && (await storage.sizeOf(mount)) !== undefined) return created(response, repository, mount);
  const upload = await sessions.start(repository, now);
  if (query.has('digest')) return finishUpload(storage, sessions, upload, exchange);
  sendEmpty(response, 202, whereItStands(upload));
}

/** PATCH: the next bytes, which must begin where the last ones ended. */
export async function appendUpload(upload: Upload, exchange: Exchange): Promise<void> {
  await takeBytes(upload, exchange);
  sendEmpty(exchange.response, 202, whereItStands(upload));
}

/** PUT: perhaps the last bytes, and the digest of all. */
export async function finishUpload(
  storage: ServedStorage,
  sessions: UploadSessions,
  upload: Upload,
  exchange: Exchange,
): Promise<void> {
  const { response, query, signal } = exchange;
  const digest = query.get('digest');
  if (!isDigest(digest)) throw new Refusal(400, 'DIGEST_INVALID', 'the digest parameter is not a digest');
  await takeBytes(upload, exchange);
  const descriptor: Descriptor = { mediaType: octets, digest, size: upload.size };
  try {
    await storage.content.put(descriptor, async () => (upload.size === 0 ? nothing() : upload.read()), { signal });
  } catch (error) {
    if (isTsbuildError(error) && error.code === 'blob-mismatch') {
      throw new Refusal(400, 'DIGEST_INVALID', 'the bytes do not have this digest');
    }
    throw error;
  } finally {
    await sessions.end(upload.id);
  }
  created(response, upload.repository, digest);
}

/** The spec: a chunk out of order is refused, and the client told where the upload stands. */
async function takeBytes(upload: Upload, { request, response }: Exchange): Promise<void> {
  const header = request.headers['content-range'];
  const first = /^(?:bytes[ =])?(\d+)-\d+/.exec(header ?? '')?.[1];
  if (header !== undefined && Number(first) !== upload.size) {
    for (const [name, value] of Object.entries(whereItStands(upload))) response.setHeader(name, value);
    throw new Refusal(416, 'BLOB_UPLOAD_INVALID', `the upload stands at ${upload.size}`);
  }
  await upload.append(request);
}

/** Content is one for all repositories: what any image needs stays, whoever asks. */
export async function deleteBlob(
  storage: ServedStorage,
  digest: Digest,
  changes: Limiter,
  { response, signal }: Exchange,
): Promise<void> {
  const outcome = await changes.run(signal, () => storage.removeContent(digest, signal));
  switch (outcome) {
    case 'removed':
      return sendEmpty(response, 202);
    case 'absent':
      throw new Refusal(404, 'BLOB_UNKNOWN', 'no such blob');
    case 'needed':
      throw new Refusal(405, 'UNSUPPORTED', 'an image needs this blob; delete that first');
    case 'in-use':
      throw new Refusal(405, 'UNSUPPORTED', 'another process that runs on this store may need this blob');
    default:
      return assertNever(outcome);
  }
}

export function whereItStands(upload: Upload): Record<string, string> {
  return {
    location: `/v2/${upload.repository}/blobs/uploads/${upload.id}`,
    range: `0-${Math.max(0, upload.size - 1)}`,
    'docker-upload-uuid': upload.id,
  };
}

function created(response: ServerResponse, repository: string, digest: Digest): void {
  sendEmpty(response, 201, { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest });
}

function rangeOf(
  header: string | undefined,
  size: number,
): { start: number; end: number } | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  const start = match[1] === '' ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const end = match[1] === '' || match[2] === '' ? size - 1 : Math.min(size - 1, Number(match[2]));
  return start >= size || start > end ? 'unsatisfiable' : { start, end };
}

async function* slice(bytes: AsyncIterable<Uint8Array>, start: number, end: number): AsyncIterable<Uint8Array> {
  let at = 0;
  for await (const chunk of bytes) {
    const part = chunk.subarray(Math.max(0, start - at), Math.max(0, end - at));
    at += chunk.byteLength;
    if (part.byteLength > 0) yield part;
    // The last bytes are followed by the verdict on all: it is waited for, unless a range ends before.
    if (at > end) return;
  }
}

/** Writes at the pace of the reader. A failure of the source breaks the connection: the length was announced. */
async function pour(bytes: AsyncIterable<Uint8Array>, response: ServerResponse): Promise<void> {
  for await (const chunk of bytes) {
    if (response.destroyed) return;
    if (!response.write(chunk)) await drainedOrClosed(response);
  }
  response.end();
}

function drainedOrClosed(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      response.off('drain', go).off('close', go);
      resolve();
    };
    response.on('drain', go).on('close', go);
  });
}

async function* nothing(): AsyncIterable<Uint8Array> {}
