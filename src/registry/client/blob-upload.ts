/**
 * Writes a blob into a repository (distribution spec, "Pushing blobs"): mount it from another repository, else open a
 * session and send it whole, else in chunks.
 * Invariant: a broken upload is tried again only in a new session and from the source; a session that is given up is
 * cancelled.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Descriptor, PutOptions } from '../../image/index.ts';
import { isRegistryError, isTransient } from '../errors.ts';
import { drain } from '../http/read-body.ts';
import { resolveLocation } from '../http/redirects.ts';
import { delayBefore, pause } from '../http/retry.ts';
import { sendChunks } from './chunked-upload.ts';
import { counted, type Exchange, type UploadPort, type UploadSession, withDigest } from './upload-session.ts';

/** A blob larger than any body limit would be sent in vain: what a registry refuses with these is tried in chunks. */
const wantsChunks = new Set([411, 413]);
const maxMountAttempts = 3;

/** @param mountFrom repositories of the same registry that hold the blob */
export async function uploadBlob(
  port: UploadPort,
  descriptor: Descriptor,
  open: () => Promise<AsyncIterable<Uint8Array>>,
  mountFrom: readonly string[],
  options: PutOptions,
): Promise<'written' | 'mounted' | 'exists'> {
  let session = await mount(port, descriptor, mountFrom, options.signal);
  if (session === 'mounted') return 'mounted';
  let chunked = port.chunkSize > 0;
  for (let attempt = 1; ; attempt += 1) {
    try {
      session ??= await startSession(port, options.signal);
      if (chunked) await sendChunks(port, session, descriptor, open, options);
      else await sendWhole(port, session, descriptor, open, options);
      return 'written';
    } catch (error) {
      if (session) await cancelSession(port, session);
      session = undefined;
      const tooLarge = isRegistryError(error) && wantsChunks.has(error.status ?? 0) && !chunked;
      if (attempt >= port.retry.attempts || options.signal.aborted || !(tooLarge || isRetryable(error))) throw error;
      // A body that is cut twice may be longer than something in between allows: chunks get through where a whole does not.
      if (tooLarge || attempt >= 2) chunked = true;
      const asked = isRegistryError(error) ? error.retryAfter : undefined;
      if (asked !== undefined && asked > port.retry.maxDelay) throw error;
      if (!tooLarge) await pause(delayBefore(port.retry, attempt, asked), options.signal);
      // The answer may have been lost after the registry took the blob.
      if (!tooLarge && (await port.exists(options.signal))) return 'written';
    }
  }
}

/** A session that the registry forgot (a restart, a load balancer without affinity) is worth a new one. */
function isRetryable(error: unknown): boolean {
  if (isTransient(error)) return true;
  return isRegistryError(error) && (error.registryCode === 'BLOB_UPLOAD_UNKNOWN' || error.status === 404);
}

/** 201: mounted. 202: the registry opened a session instead, which is used unless another repository is to be tried. */
async function mount(
  port: UploadPort,
  descriptor: Descriptor,
  repositories: readonly string[],
  signal: AbortSignal,
): Promise<'mounted' | UploadSession | undefined> {
  let session: UploadSession | undefined;
  for (const from of repositories.slice(0, maxMountAttempts)) {
    if (session) await cancelSession(port, session);
    session = undefined;
    const query = new URLSearchParams({ mount: descriptor.digest, from });
    let exchange: Exchange;
    try {
      exchange = await port.expect(
        {
          method: 'POST',
          target: `${port.uploadsPath}?${query}`,
          headers: emptyBody,
          scopes: port.scopes(from),
          signal,
        },
        [201, 202],
      );
    } catch (error) {
      // No right to read there, or no such repository: mounting is only a shortcut.
      if (isRegistryError(error) && [400, 401, 403, 404, 405].includes(error.status ?? 0)) continue;
      throw error;
    }
    await drain(exchange.response);
    if (exchange.response.status === 201) return 'mounted';
    session = sessionOf(exchange);
  }
  return session;
}

async function startSession(port: UploadPort, signal: AbortSignal): Promise<UploadSession> {
  const exchange = await port.expect(
    { method: 'POST', target: port.uploadsPath, headers: emptyBody, scopes: port.scopes(), signal },
    [202],
  );
  await drain(exchange.response);
  return sessionOf(exchange);
}

const emptyBody = { 'content-length': '0' };

function sessionOf({ request, response }: Exchange): UploadSession {
  const text = response.headers.get('oci-chunk-min-length') ?? '';
  return {
    location: resolveLocation(request, response, 'the upload location'),
    minChunk: /^\d{1,12}$/.test(text) ? Number(text) : 0,
  };
}

async function sendWhole(
  port: UploadPort,
  session: UploadSession,
  descriptor: Descriptor,
  open: () => Promise<AsyncIterable<Uint8Array>>,
  options: PutOptions,
): Promise<void> {
  const { response } = await port.expect(
    {
      method: 'PUT',
      target: withDigest(session.location, descriptor),
      headers: { 'content-type': 'application/octet-stream' },
      body: {
        kind: 'stream',
        length: descriptor.size,
        open: async () => counted(await open(), descriptor, options.onProgress),
      },
      scopes: port.scopes(),
      signal: options.signal,
      retry: false,
    },
    [201, 204],
  );
  await drain(response);
}

/** Best effort: the registry forgets abandoned sessions by itself, only later. */
async function cancelSession(port: UploadPort, session: UploadSession): Promise<void> {
  try {
    // A registry that still reads from the broken connection would write into what it just deleted.
    await sleep(50);
    const { response } = await port.expect(
      {
        method: 'DELETE',
        target: session.location,
        scopes: port.scopes(),
        signal: AbortSignal.timeout(5_000),
        retry: false,
      },
      [204, 202, 200],
    );
    await drain(response);
  } catch {
    // registry-*: the failure that made us give up the session is the one to report.
  }
}
