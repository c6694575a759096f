/**
 * Downloads one file over http(s), for ADD and for remote contexts.
 * Invariant: at most ten redirects; credentials go to the host of the address only; the body is hashed as it passes,
 * and what does not have the digest asked for is not kept.
 */
import { randomUUID } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { redactUrl, systemErrorCode, TsbuildError, throwIfAborted } from '../../core/index.ts';
import { createDigestHasher, type Digest, digestAlgorithm } from '../../image/index.ts';
import { discard, loadUndici, type ProxyEnvironment, webAgent } from './web-agent.ts';

export interface FetchUrlOptions {
  readonly checksum?: Digest;
  /** A private folder tsbuild owns; the file lies in it until the result is disposed. */
  readonly temporary: string;
  readonly signal: AbortSignal;
  readonly proxyEnv?: ProxyEnvironment;
  /** The Authorization header for the host of the address, instead of the credentials in it. */
  readonly authorization?: string | undefined;
  /** Bytes; what is larger is refused as soon as that is seen. Default: no limit. */
  readonly limit?: number;
}

export interface FetchedFile extends AsyncDisposable {
  readonly file: string;
  /** Bytes. */
  readonly size: number;
  readonly digest: Digest;
  /** From Last-Modified, nanoseconds since 1970; 0 without one, as in BuildKit. */
  readonly mtime: bigint;
  /** The last part of the address, else what Content-Disposition says, else `__unnamed__`. */
  readonly name: string;
}

/** @throws TsbuildError `context-fetch-failed`, `context-checksum-mismatch`, `cancelled` */
export async function fetchUrl(url: string, options: FetchUrlOptions): Promise<FetchedFile> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await fetchOnce(url, options);
    } catch (error) {
      throwIfAborted(options.signal);
      if (error instanceof TsbuildError && !(error.cause instanceof Transient)) throw error;
      // A redirect to itself is undici's invalid argument: it stays one.
      const isFinal = attempt >= attempts || systemErrorCode(error) === 'UND_ERR_INVALID_ARG';
      if (isFinal) throw error instanceof TsbuildError ? error : failed(url, reasonOf(error), error);
      await sleep(attempt * 500, undefined, { signal: options.signal }).catch(() => throwIfAborted(options.signal));
    }
  }
}

const attempts = 3;

/** The server may answer otherwise the next time. */
class Transient extends Error {}

async function fetchOnce(url: string, options: FetchUrlOptions): Promise<FetchedFile> {
  const { address, headers } = requestOf(url, options.authorization);
  const undici = await loadUndici();
  const agent = webAgent(undici, options.proxyEnv ?? {});
  const file = join(options.temporary, `fetched-${randomUUID()}`);
  try {
    const dispatcher = agent.compose(undici.interceptors.redirect({ maxRedirections: 10 }));
    const response = await undici.request(address, { dispatcher, headers, signal: options.signal });
    if (response.statusCode !== 200) {
      discard(response.body);
      throw failed(
        url,
        statusReason(response.statusCode),
        isTransient(response.statusCode) ? new Transient() : undefined,
      );
    }
    const limit = options.limit ?? Number.POSITIVE_INFINITY;
    const saved = await save(response.body, file, options.checksum, limit);
    if (saved === undefined) throw failed(url, `it is larger than ${limit} bytes`);
    const { size, digest } = saved;
    if (options.checksum !== undefined && digest !== options.checksum) {
      throw new TsbuildError({
        code: 'context-checksum-mismatch',
        message: `${redactUrl(url)} has the digest ${digest}, not ${options.checksum}`,
        hint: 'Correct the checksum if the file was changed on purpose.',
      });
    }
    return {
      file,
      size,
      digest,
      mtime: timeOf(headerOf(response.headers, 'last-modified')),
      name: nameOf(address, headerOf(response.headers, 'content-disposition')),
      [Symbol.asyncDispose]: () => rm(file, { force: true }),
    };
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  } finally {
    await agent.destroy();
  }
}

function requestOf(
  url: string,
  authorization: string | undefined,
): { readonly address: URL; readonly headers: Record<string, string> } {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  if (!address || (address.protocol !== 'http:' && address.protocol !== 'https:')) {
    throw failed(url, 'it is no http or https address');
  }
  // Identity: an archive must arrive as it is.
  const headers: Record<string, string> = { 'accept-encoding': 'identity', 'user-agent': 'tsbuild' };
  if (address.username !== '' || address.password !== '') {
    const pair = `${decodeURIComponent(address.username)}:${decodeURIComponent(address.password)}`;
    headers.authorization = `Basic ${Buffer.from(pair).toString('base64')}`;
    address.username = '';
    address.password = '';
  }
  if (authorization !== undefined) headers.authorization = authorization;
  address.hash = '';
  return { address, headers };
}

/** Undefined: the body is larger than `limit`. */
async function save(
  body: AsyncIterable<Buffer>,
  file: string,
  checksum: Digest | undefined,
  limit: number,
): Promise<{ readonly size: number; readonly digest: Digest } | undefined> {
  const hasher = createDigestHasher(checksum ? digestAlgorithm(checksum) : 'sha256');
  await using target = await open(file, 'wx', 0o600);
  let size = 0;
  for await (const chunk of body) {
    hasher.update(chunk);
    await target.appendFile(chunk);
    size += chunk.byteLength;
    if (size > limit) return undefined;
  }
  return { size, digest: hasher.digest() };
}

function headerOf(headers: Readonly<Record<string, string | string[] | undefined>>, name: string): string {
  const value = headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? '';
}

function timeOf(lastModified: string): bigint {
  const milliseconds = Date.parse(lastModified);
  return Number.isNaN(milliseconds) || milliseconds < 0 ? 0n : BigInt(milliseconds) * 1_000_000n;
}

/** A plain file name, whatever the server says. */
function nameOf(address: URL, disposition: string): string {
  const fromPath = safeName(decoded(address.pathname.split('/').at(-1) ?? ''));
  if (fromPath !== undefined) return fromPath;
  const given = /filename="?([^";]*)"?/i.exec(disposition)?.[1] ?? '';
  return safeName(given.split('/').at(-1) ?? '') ?? '__unnamed__';
}

function safeName(name: string): string | undefined {
  return name === '' || name === '.' || name === '..' || /[/\0]/.test(name) ? undefined : name;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // URIError: a lone % is part of the name.
    return text;
  }
}

function isTransient(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

function statusReason(status: number): string {
  return status >= 300 && status < 400 ? 'it redirects too often' : `the server answers ${status}`;
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : 'the connection failed';
}

function failed(url: string, reason: string, cause?: unknown): TsbuildError {
  return new TsbuildError({
    code: 'context-fetch-failed',
    message: `${redactUrl(url)} could not be downloaded: ${reason}`,
    hint: 'Check the address and the connection, and try again.',
    cause,
  });
}
