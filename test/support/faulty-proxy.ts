/**
 * A reverse proxy on loopback that stands before a registry and spoils chosen requests. The Host header is passed on, so
 * a registry's absolute URLs lead back through the proxy.
 */
import { createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http';
import type { Socket } from 'node:net';

export type Fault =
  /** The connection is reset before the registry hears of it. */
  | { readonly kind: 'reset' }
  /** The registry does it, its answer is lost. */
  | { readonly kind: 'lost-answer' }
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  | { readonly kind: 'stall' }
  /** Half of the body, then a reset. */
  | { readonly kind: 'truncated' }
  /** Half of the body, then nothing. */
  | { readonly kind: 'half' }
  /** The registry hears of it only then. */
  | { readonly kind: 'held'; readonly until: Promise<unknown> }
  /** One byte of the body differs, and so does Docker-Content-Digest. */
  | { readonly kind: 'wrong-digest' }
  /** The body lacks its last byte, and Content-Length agrees with that. */
  | { readonly kind: 'wrong-length' }
  | { readonly kind: 'wrong-type' }
  | { readonly kind: 'redirect'; readonly to: string }
  | { readonly kind: 'redirect-loop' };

export interface SeenRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  /** Bytes of its body that reached the registry. */
  received: number;
  /** Bytes of bodies that went to the client in answer. */
  sent: number;
}

export interface FaultyProxy extends AsyncDisposable {
  readonly host: string;
  readonly url: string;
  readonly requests: SeenRequest[];
  /** Bytes of bodies that went to the client. */
  readonly sent: number;
}

/** @param faultFor decides by the request and its number, from 0 */
export async function startFaultyProxy(
  target: string,
  faultFor: (request: SeenRequest, number: number) => Fault | undefined,
): Promise<FaultyProxy> {
  const upstream = new URL(target);
  const sockets = new Set<Socket>();
  const requests: SeenRequest[] = [];
  const server = createServer((request, response) => {
    const seen = newlySeen(request);
    const fault = faultFor(seen, requests.length);
    requests.push(seen);
    spoil(fault, seen, request, response);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  });
  // A TLS greeting, most likely: answered as Go's server does.
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const proxy: FaultyProxy = {
    host: `127.0.0.1:${address.port}`,
    url: `http://127.0.0.1:${address.port}`,
    requests,
    get sent() {
      return requests.reduce((sum, { sent }) => sum + sent, 0);
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  function spoil(
    fault: Fault | undefined,
    seen: SeenRequest,
    request: IncomingMessage,
    response: ServerResponse,
  ): void {
    request.on('error', () => {});
    response.on('error', () => {});
    switch (fault?.kind) {
      case 'reset':
        request.socket.resetAndDestroy();
        return;
      case 'status':
        request.resume();
        response.writeHead(fault.status, { 'content-length': '0', ...fault.headers }).end();
        return;
      case 'stall':
        request.resume();
        return;
      case 'redirect':
      case 'redirect-loop':
        request.resume();
        response.writeHead(307, { location: fault.kind === 'redirect' ? fault.to : (request.url ?? '/') }).end();
        return;
      case 'held':
        void fault.until.then(() => forward(undefined, seen, request, response));
        return;
      default:
        forward(fault, seen, request, response);
    }
  }

  function forward(
    fault: Fault | undefined,
    seen: SeenRequest,
    request: IncomingMessage,
    response: ServerResponse,
  ): void {
    const onward = send(
      {
        host: upstream.hostname,
        port: upstream.port,
        method: request.method,
        path: request.url,
        headers: request.headers,
      },
      (answer) => {
        if (fault === undefined) {
          response.writeHead(answer.statusCode ?? 500, answer.headers);
          answer.on('data', (chunk: Buffer) => {
            seen.sent += chunk.byteLength;
          });
          answer.pipe(response);
          return;
        }
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () => answerWith(fault, seen, request, answer, Buffer.concat(chunks), response));
      },
    );
    onward.on('error', () => request.socket.destroy());
    request.on('data', (chunk: Buffer) => {
      seen.received += chunk.byteLength;
    });
    request.pipe(onward);
  }

  function answerWith(
    fault: Fault,
    seen: SeenRequest,
    request: IncomingMessage,
    answer: IncomingMessage,
    body: Buffer,
    response: ServerResponse,
  ) {
    const headers = { ...answer.headers };
    const status = answer.statusCode ?? 500;
    if (fault.kind === 'lost-answer') {
      request.socket.resetAndDestroy();
      return;
    }
    if (fault.kind === 'truncated' || fault.kind === 'half') {
      response.writeHead(status, headers);
      const half = body.subarray(0, Math.floor(body.byteLength / 2));
      seen.sent += half.byteLength;
      if (half.byteLength === 0) response.flushHeaders();
      const reset = () => setTimeout(() => request.socket.resetAndDestroy(), 10);
      response.write(half.byteLength > 0 ? half : '', fault.kind === 'truncated' ? reset : () => {});
      return;
    }
    if (fault.kind === 'wrong-type') headers['content-type'] = 'text/html; charset=utf-8';
    if (fault.kind === 'wrong-digest') {
      if (body.byteLength > 0) body[body.byteLength >> 1] = (body[body.byteLength >> 1] ?? 0) ^ 0x20;
      if (headers['docker-content-digest']) headers['docker-content-digest'] = `sha256:${'0'.repeat(64)}`;
    }
    const shorter = fault.kind === 'wrong-length' && body.byteLength > 0 ? body.subarray(0, -1) : body;
    if (headers['content-length'] !== undefined && fault.kind === 'wrong-length') {
      headers['content-length'] = String(Math.max(0, Number(headers['content-length']) - 1));
    }
    seen.sent += shorter.byteLength;
    response.writeHead(status, headers).end(shorter);
  }

  return proxy;
}

function newlySeen({ method = '', url = '/', headers }: IncomingMessage): SeenRequest {
  return { method, path: url, headers, received: 0, sent: 0 };
}

export interface Canary extends AsyncDisposable {
  readonly host: string;
  readonly url: string;
  readonly requests: SeenRequest[];
  /** Everything that was said to it, headers and bodies: where a leaked secret would show. */
  heard(): string;
}

/** A server that should hear no secret. @param answer Default: 404 */
export async function startCanary(
  answer: (request: SeenRequest, response: ServerResponse) => void = (_request, response) => {
    response.writeHead(404).end();
  },
): Promise<Canary> {
  const requests: SeenRequest[] = [];
  let heard = '';
  const server = createServer((request, response) => {
    const seen = newlySeen(request);
    requests.push(seen);
    heard += `${request.method} ${request.url}\n${request.rawHeaders.join('\n')}\n`;
    request.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1');
    });
    request.on('end', () => answer(seen, response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    host: `127.0.0.1:${address.port}`,
    url: `http://127.0.0.1:${address.port}`,
    requests,
    heard: () => heard,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
