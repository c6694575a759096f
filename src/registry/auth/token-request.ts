/**
 * The token protocol of registries (distribution, "Token Authentication Specification" and "OAuth2 Token
 * Authentication"): one request that trades credentials for a short-lived Bearer token.
 */
import { describeRequest, protocolError, RegistryError } from '../errors.ts';
import type { HttpRequest, Send } from '../http/message.ts';
import { isLoopback } from '../http/proxy.ts';
import { readBody } from '../http/read-body.ts';
import { checkTarget } from '../http/redirects.ts';
import { responseError } from '../response-error.ts';
import { basicAuthorization, type Credentials } from './credentials.ts';

export interface TokenRequest {
  /** The request that was challenged: its origin decides what realm is acceptable. */
  readonly origin: URL;
  readonly registryHost: string;
  readonly realm: string;
  readonly service: string | undefined;
  readonly scopes: readonly string[];
  readonly credentials: Credentials | undefined;
  readonly signal: AbortSignal;
}

export interface Token {
  readonly value: string;
  readonly scopes: readonly string[];
  /** Milliseconds since 1970, by our own clock. */
  readonly expiresAt: number;
  /** When to fetch the next one instead: before it expires. */
  readonly renewAt: number;
}

const clientId = 'tsbuild';
const maxAnswer = 1024 * 1024;

/** @param send sends without authentication @throws RegistryError of the token server */
export async function requestToken(send: Send, wanted: TokenRequest, now: () => number): Promise<Token> {
  const request = wanted.credentials?.kind === 'identity-token' ? oauthRequest(wanted) : basicRequest(wanted);
  const asked = now();
  const response = await send(request);
  // Token servers without OAuth2 answer the POST with 404 or 405; an identity token is of no use there.
  if (response.status !== 200) throw await responseError(request, response, now());
  return parseToken(await readBody(request, response, maxAnswer), request, wanted.scopes, asked);
}

function basicRequest(wanted: TokenRequest): HttpRequest {
  const url = realmUrl(wanted);
  if (wanted.service !== undefined) url.searchParams.set('service', wanted.service);
  for (const scope of wanted.scopes) url.searchParams.append('scope', scope);
  const { credentials } = wanted;
  if (credentials?.kind === 'password') {
    url.searchParams.set('account', credentials.username);
    return {
      ...common(wanted, url),
      method: 'GET',
      headers: { authorization: basicAuthorization(credentials.username, credentials.password) },
    };
  }
  return { ...common(wanted, url), method: 'GET', headers: {} };
}

function oauthRequest(wanted: TokenRequest): HttpRequest {
  const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: clientId });
  if (wanted.service !== undefined) form.set('service', wanted.service);
  if (wanted.scopes.length > 0) form.set('scope', wanted.scopes.join(' '));
  if (wanted.credentials?.kind === 'identity-token') form.set('refresh_token', wanted.credentials.token);
  return {
    ...common(wanted, realmUrl(wanted)),
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: { kind: 'bytes', bytes: Buffer.from(form.toString()) },
  };
}

function common(wanted: TokenRequest, url: URL) {
  return { url, signal: wanted.signal, registryHost: wanted.registryHost, readWhole: maxAnswer };
}

/**
 * The realm is chosen by the registry and is often another host, so what protects the password is the scheme: https,
 * or plain http only where the registry itself is plain http on the same machine name.
 */
function realmUrl(wanted: TokenRequest): URL {
  const probe: HttpRequest = { ...common(wanted, wanted.origin), method: 'GET', headers: {} };
  let url: URL;
  try {
    url = new URL(wanted.realm, wanted.origin);
  } catch (cause) {
    throw protocolError('GET', wanted.origin, 'the realm of the challenge is not a URL', cause);
  }
  checkTarget(probe, url, 'the token realm');
  const near =
    url.hostname === wanted.origin.hostname || (isLoopback(url.hostname) && isLoopback(wanted.origin.hostname));
  if (wanted.credentials !== undefined && url.protocol === 'http:' && !near) {
    throw new RegistryError({
      code: 'registry-redirect-refused',
      message: `${describeRequest('GET', wanted.origin)}: the token realm ${url.origin} is plain http on another host; no credentials are sent there`,
      hint: 'Correct the realm in the configuration of the registry: it must begin with https.',
    });
  }
  return url;
}

function parseToken(bytes: Buffer, request: HttpRequest, scopes: readonly string[], asked: number): Token {
  let answer: Record<string, unknown>;
  try {
    answer = JSON.parse(bytes.toString('utf8')) ?? {};
  } catch (cause) {
    throw protocolError(request.method, request.url, 'the token server did not answer with JSON', cause);
  }
  const value = [answer.token, answer.access_token].find((text) => typeof text === 'string' && text !== '');
  // A token becomes a header: what cannot stand in one is not a token.
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) {
    throw protocolError(request.method, request.url, 'the token server gave no usable token');
  }
  const seconds = typeof answer.expires_in === 'number' && answer.expires_in > 0 ? answer.expires_in : 60;
  const lifetime = Math.min(seconds, 24 * 3600) * 1000;
  const expiresAt = asked + lifetime;
  return { value, scopes, expiresAt, renewAt: expiresAt - Math.min(10_000, lifetime / 5) };
}
