/**
 * A small registry (OCI distribution spec 1.1) over a storage: pull, push, content discovery and management. It listens on
 * loopback unless told otherwise, and asks `access` before it looks at a request.
 * Invariant: what it serves under a digest has that digest; a request that fails leaves no draft behind.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { assertNever, Limiter, systemErrorCode, TsbuildError } from '../../core/index.ts';
import { type Access, anyone } from './access.ts';
import { Refusal, sendEmpty, sendJson, sendRefusal } from './answer.ts';
import { type Route, routeOf } from './route.ts';
import {
  appendUpload,
  deleteBlob,
  type Exchange,
  finishUpload,
  readBlob,
  startUpload,
  whereItStands,
} from './serve-blobs.ts';
import {
  deleteManifest,
  listReferrers,
  listRepositories,
  listTags,
  readManifest,
  writeManifest,
} from './serve-manifests.ts';
import type { ServedStorage } from './storage.ts';
import { UploadSessions } from './upload-sessions.ts';

export interface RegistryServerOptions {
  readonly storage: ServedStorage;
  /** An existing folder for uploads underway. */
  readonly uploadFolder: string;
  /** Default 127.0.0.1. */
  readonly address?: string;
  /** Default 0: the kernel chooses. */
  readonly port?: number;
  /** PEM; https then. */
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly readOnly?: boolean;
  /** Default: everyone may do everything. */
  readonly access?: Access;
  /** A failure of the storage, which the client only hears of as a 500. */
  readonly onFailure?: (error: unknown) => void;
}

export interface RegistryServer extends AsyncDisposable {
  /** `127.0.0.1:5000`. */
  readonly host: string;
  readonly url: string;
}

/** @throws TsbuildError `registry-config` when the address cannot be listened on */
export async function serveRegistry(options: RegistryServerOptions): Promise<RegistryServer> {
  const sessions = new UploadSessions(options.uploadFolder);
  const stopped = new AbortController();
  // Records are read, changed and written: one change at a time.
  const changes = new Limiter(1);

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    response.setHeader('docker-distribution-api-version', 'registry/2.0');
    try {
      await answer({ ...options, sessions, changes }, exchangeOf(request, response, stopped.signal));
    } catch (error) {
      fail(error, request, response, options.onFailure);
    }
  };

  const listener = (request: IncomingMessage, response: ServerResponse) => void handle(request, response);
  // Loaded only here: every other command would pay for them at its start.
  const server = options.tls
    ? (await import('node:https')).createServer(options.tls, listener)
    : (await import('node:http')).createServer(listener);
  // A large blob over a slow line takes as long as it takes.
  server.requestTimeout = 0;
  const address = options.address ?? '127.0.0.1';
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(cannotListen(address, options.port ?? 0, cause)));
    server.listen(options.port ?? 0, address, resolve);
  });
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : (options.port ?? 0);
  const host = `${address.includes(':') ? `[${address}]` : address}:${port}`;
  return {
    host,
    url: `${options.tls ? 'https' : 'http'}://${host}`,
    async [Symbol.asyncDispose]() {
      stopped.abort();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await sessions.close();
    },
  };
}

interface Serving extends RegistryServerOptions {
  readonly sessions: UploadSessions;
  readonly changes: Limiter;
}

function exchangeOf(request: IncomingMessage, response: ServerResponse, stopped: AbortSignal): Exchange {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const { searchParams: query } = new URL(request.url ?? '/', 'http://registry');
  return { request, response, query, signal: AbortSignal.any([gone.signal, stopped]), now: Date.now() };
}

async function answer(serving: Serving, exchange: Exchange): Promise<void> {
  const { request } = exchange;
  const method = request.method ?? '';
  const reads = method === 'GET' || method === 'HEAD';
  await admit(serving.access ?? anyone, exchange, !reads);
  if (serving.readOnly && !reads) throw new Refusal(405, 'UNSUPPORTED', 'this registry is read-only');
  const asked = routeOf(new URL(request.url ?? '/', 'http://registry').pathname);
  const { canonical } = serving.storage;
  const route = canonical && 'repository' in asked ? { ...asked, repository: canonical(asked.repository) } : asked;
  const handled = reads ? await read(serving, route, exchange) : await write(serving, route, method, exchange);
  if (handled === 'not-here') throw new Refusal(405, 'UNSUPPORTED', `${method} is not offered here`);
}

async function admit(access: Access, { request, response }: Exchange, writes: boolean): Promise<void> {
  const verdict = await access(request, writes);
  if (verdict.kind === 'denied') throw new Refusal(403, 'DENIED', verdict.because);
  if (verdict.kind === 'granted') return;
  response.setHeader('www-authenticate', 'Basic realm="tsbuild"');
  throw new Refusal(401, 'UNAUTHORIZED', 'a name and a password are needed');
}

async function read({ storage, sessions }: Serving, route: Route, exchange: Exchange): Promise<'not-here' | undefined> {
  switch (route.kind) {
    case 'ping':
      sendJson(exchange.response, 200, {});
      return undefined;
    case 'catalog':
      await listRepositories(storage, exchange);
      return undefined;
    case 'tags':
      await listTags(storage, route.repository, exchange);
      return undefined;
    case 'blob':
      await readBlob(storage, route.digest, exchange);
      return undefined;
    case 'upload':
      sendEmpty(exchange.response, 204, whereItStands(sessions.find(route.session, route.repository, exchange.now)));
      return undefined;
    case 'manifest':
      await readManifest(storage, route.repository, route.reference, exchange);
      return undefined;
    case 'referrers':
      await listReferrers(storage, route.repository, route.digest, exchange);
      return undefined;
    case 'invalid':
      throw new Refusal(route.code === 'UNSUPPORTED' ? 404 : 400, route.code, 'the path is not one of the registry');
    case 'uploads':
      return 'not-here';
    default:
      return assertNever(route);
  }
}

async function write(
  { storage, sessions, changes }: Serving,
  route: Route,
  method: string,
  exchange: Exchange,
): Promise<'not-here' | undefined> {
  if (route.kind === 'invalid') {
    throw new Refusal(route.code === 'UNSUPPORTED' ? 404 : 400, route.code, 'the path is not one of the registry');
  }
  if (route.kind === 'uploads' && method === 'POST') {
    await startUpload(storage, sessions, route.repository, exchange);
    return undefined;
  }
  if (route.kind === 'upload') {
    const upload = sessions.find(route.session, route.repository, exchange.now);
    if (method === 'PATCH') await appendUpload(upload, exchange);
    else if (method === 'PUT') await finishUpload(storage, sessions, upload, exchange);
    else if (method === 'DELETE') await sessions.end(upload.id).then(() => sendEmpty(exchange.response, 204));
    else return 'not-here';
    return undefined;
  }
  if (route.kind === 'manifest' && (method === 'PUT' || method === 'DELETE')) {
    const change = method === 'PUT' ? writeManifest : deleteManifest;
    await change(storage, route.repository, route.reference, changes, exchange);
    return undefined;
  }
  if (route.kind === 'blob' && method === 'DELETE') {
    await deleteBlob(storage, route.digest, changes, exchange);
    return undefined;
  }
  return 'not-here';
}

function fail(
  error: unknown,
  request: IncomingMessage,
  response: ServerResponse,
  onFailure: RegistryServerOptions['onFailure'],
): void {
  // What was announced cannot be taken back: the broken connection tells the client.
  if (response.headersSent) return void response.destroy();
  // A body nobody reads would hold the connection.
  if (!request.complete) response.setHeader('connection', 'close');
  if (error instanceof Refusal) return sendRefusal(response, error);
  if (!request.destroyed || request.complete) onFailure?.(error);
  sendRefusal(response, new Refusal(500, 'UNKNOWN', 'the registry failed'));
}

function cannotListen(address: string, port: number, cause: unknown): TsbuildError {
  const taken = systemErrorCode(cause) === 'EADDRINUSE';
  return new TsbuildError({
    code: 'registry-config',
    message: `the registry cannot listen on ${address} port ${port}${taken ? ': it is in use' : ''}`,
    hint: 'Choose another port, or 0 to have a free one chosen.',
    cause,
  });
}
