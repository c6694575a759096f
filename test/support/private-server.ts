/**
 * A server that shows files and repositories to those alone who send the right header, and keeps what everybody sent: so
 * a credential that reached the wrong host is seen. Repositories are served by git's own `http-backend`.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { serve, type WebServer } from './context-server.ts';

export interface PrivateServer extends WebServer {
  /** The Authorization headers of all requests, each once; `none` for one without. */
  credentials(): string[];
}

export interface PrivateServerOptions {
  /** The header to be sent; undefined: everybody may read. */
  readonly authorization?: string;
  /** Where a path is to be asked for instead. */
  readonly redirect?: (path: string) => string | undefined;
  /** What a refusal of 403 says; by default one of 401 says nothing. */
  readonly refusal?: (request: IncomingMessage) => string;
}

export async function servePrivate(root: string, options: PrivateServerOptions = {}): Promise<PrivateServer> {
  const { authorization, redirect = () => undefined, refusal } = options;
  const server = await serve((request, response) => {
    const { pathname, search } = new URL(request.url ?? '/', 'http://host');
    const location = redirect(pathname);
    if (location !== undefined) response.writeHead(302, { location: `${location}${search}` }).end();
    else if (authorization !== undefined && request.headers.authorization !== authorization) {
      if (refusal) response.writeHead(403, { 'content-type': 'text/plain' }).end(refusal(request));
      else response.writeHead(401, { 'www-authenticate': 'Basic realm="private"' }).end();
    } else if (/\.git\//.test(pathname)) answerGit(root, request, response);
    else if (existsSync(join(root, pathname))) response.end(readFileSync(join(root, pathname)));
    else response.writeHead(404).end();
  });
  return {
    ...server,
    credentials: () => [...new Set(server.requests.map(({ headers }) => headers.authorization ?? 'none'))].sort(),
  };
}

/** CGI, RFC 3875. */
function answerGit(root: string, request: IncomingMessage, response: ServerResponse): void {
  const { pathname, search } = new URL(request.url ?? '/', 'http://host');
  const backend = spawn('git', ['http-backend'], {
    env: {
      PATH: '/usr/bin:/bin',
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: pathname,
      QUERY_STRING: search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'],
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'],
      HTTP_GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  backend.stdin.on('error', () => {});
  request.pipe(backend.stdin);
  const parts: Buffer[] = [];
  backend.stdout.on('data', (part: Buffer) => parts.push(part));
  backend.on('close', () => {
    const whole = Buffer.concat(parts);
    const end = whole.indexOf('\r\n\r\n');
    for (const line of whole.subarray(0, end).toString().split('\r\n')) {
      const [name = '', value = ''] = line.split(': ');
      if (name === 'Status') response.statusCode = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.end(whole.subarray(end + 4));
  });
}
