/**
 * A token server for the reference registry: real JWTs signed with RS256, a certificate the registry trusts, scopes
 * granted by rule, an expiry of the test's choice, OAuth2 with refresh tokens. It keeps what it was asked.
 */

import { execFileSync } from 'node:child_process';
import { createHash, createPublicKey, createSign, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { join } from 'node:path';

export interface TokenServerOptions {
  /** Seconds. Default 300. */
  readonly expiresIn?: number;
  /** What the answer claims instead of expiresIn; undefined: the truth. */
  readonly claimedExpiresIn?: number;
  /** Actions granted on a resource (`repository:app`); user undefined: anonymous. Default: pull for all, everything for a user. */
  readonly grant?: (user: string | undefined, resource: string, actions: readonly string[]) => readonly string[];
  /** Called before an answer; a number is the status to fail with. */
  readonly fail?: (request: TokenQuestion) => number | undefined;
}

export interface TokenQuestion {
  readonly method: string;
  readonly user: string | undefined;
  readonly scopes: readonly string[];
  readonly service: string | undefined;
  readonly grantType: string | undefined;
  readonly authorization: string | undefined;
}

export interface TokenServer extends AsyncDisposable {
  readonly url: string;
  readonly service: string;
  readonly issuer: string;
  readonly certificateFile: string;
  readonly questions: TokenQuestion[];
}

export const refreshToken = 'refresh-token-of-alice';

export async function startTokenServer(folder: string, options: TokenServerOptions): Promise<TokenServer> {
  const certificateFile = join(folder, 'token.crt');
  const keyFile = join(folder, 'token.key');
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=token'],
      ...['-keyout', keyFile, '-out', certificateFile],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const key = readFileSync(keyFile, 'utf8');
  const service = 'test registry';
  const issuer = 'test issuer';
  const kid = libtrustKeyId(key);
  const questions: TokenQuestion[] = [];
  const grant =
    options.grant ?? ((user, _resource, actions) => actions.filter((a) => user !== undefined || a === 'pull'));

  const answer = async (request: IncomingMessage): Promise<{ status: number; body: unknown }> => {
    const question = await readQuestion(request);
    questions.push(question);
    const failure = options.fail?.(question);
    if (failure !== undefined) return { status: failure, body: { errors: [{ code: 'FAILED', message: 'as told' }] } };
    const refused = question.user === '' || (question.authorization !== undefined && question.user === undefined);
    if (refused) return { status: 401, body: { errors: [{ code: 'UNAUTHORIZED', message: 'wrong password' }] } };
    const access = question.scopes.map((scope) => {
      const [type = '', ...rest] = scope.split(':');
      const actions = (rest.pop() ?? '').split(',');
      const name = rest.join(':');
      return { type, name, actions: grant(question.user, `${type}:${name}`, actions) };
    });
    const now = Math.floor(Date.now() / 1000);
    const expiresIn = options.expiresIn ?? 300;
    const claims = {
      iss: issuer,
      sub: question.user ?? '',
      aud: service,
      exp: now + expiresIn,
      nbf: now - 10,
      iat: now,
      jti: randomUUID(),
      access: access.filter(({ actions }) => actions.length > 0),
    };
    const token = sign({ typ: 'JWT', alg: 'RS256', kid }, claims, key);
    return { status: 200, body: { token, access_token: token, expires_in: options.claimedExpiresIn ?? expiresIn } };
  };

  const server = createServer((request, response) => {
    void answer(request).then(({ status, body }) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    service,
    issuer,
    certificateFile,
    questions,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function readQuestion(request: IncomingMessage): Promise<TokenQuestion> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const { searchParams } = new URL(request.url ?? '/', 'http://token');
  const form = new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
  const authorization = request.headers.authorization;
  const scopes = [...searchParams.getAll('scope'), ...form.getAll('scope')].flatMap((text) => text.split(' '));
  const grantType = form.get('grant_type') ?? undefined;
  return {
    method: request.method ?? '',
    user: grantType === undefined ? userOf(authorization) : form.get('refresh_token') === refreshToken ? 'alice' : '',
    scopes: scopes.filter((scope) => scope !== ''),
    service: searchParams.get('service') ?? form.get('service') ?? undefined,
    grantType,
    authorization,
  };
}

function userOf(authorization: string | undefined): string | undefined {
  const text = Buffer.from(authorization?.replace(/^Basic /, '') ?? '', 'base64').toString('utf8');
  return text === 'alice:wonder land' ? 'alice' : undefined;
}

function sign(header: object, claims: object, key: string): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${encode(header)}.${encode(claims)}`;
  return `${text}.${createSign('RSA-SHA256').update(text).sign(key, 'base64url')}`;
}

/** The key ID docker-registry 2.8 expects: 30 bytes of the sha256 of the DER public key, base32, in groups of four. */
function libtrustKeyId(key: string): string {
  const der = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const bits = [...createHash('sha256').update(der).digest().subarray(0, 30)]
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('');
  const letters = (bits.match(/.{5}/g) ?? []).map(
    (five) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[Number.parseInt(five, 2)],
  );
  return (letters.join('').match(/.{4}/g) ?? []).join(':');
}
