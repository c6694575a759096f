/**
 * Answers a registry's challenges. One `Authenticator` belongs to one origin and remembers what that origin asked for
 * and the tokens it was given; it adds a header only to requests for that origin, and listens only to challenges that
 * came from there.
 * Invariant: parallel users of one scope cause one token request; a token is renewed before it expires and, once per
 * request, after a 401.
 */
import type { HttpRequest, HttpResponse, Layer, Send } from '../http/message.ts';
import { drain } from '../http/read-body.ts';
import { sameOrigin } from '../http/redirects.ts';
import { untilAborted } from '../http/shared-work.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import { basicAuthorization, type Credentials } from './credentials.ts';
import { coversScopes, mergeScopes } from './scope.ts';
import { requestToken, type Token } from './token-request.ts';

export interface AuthenticatorOptions {
  /** Scheme, host and port that the credentials belong to. */
  readonly origin: URL;
  readonly credentials: (signal: AbortSignal) => Promise<Credentials | undefined>;
  /** Sends token requests: everything below authentication, with retry. */
  readonly sendTokenRequest: Send;
  /** Aborts when the client is closed. */
  readonly lifetime: AbortSignal;
  readonly now: () => number;
}

type Scheme =
  | { readonly kind: 'none' }
  | { readonly kind: 'basic' }
  | { readonly kind: 'bearer'; readonly realm: string; readonly service: string | undefined };

export class Authenticator {
  readonly #options: AuthenticatorOptions;
  #scheme: Scheme = { kind: 'none' };
  #tokens: Token[] = [];
  readonly #underway = new Map<string, Promise<Token>>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /** The layer to put into a stack above redirects and below retry. */
  readonly layer: Layer = (next) => async (request) => {
    if (!sameOrigin(request.url, this.#options.origin)) return next(request);
    const first = await this.#authorization(request, mergeScopes(request.scopes ?? []));
    const response = await next(withAuthorization(request, first?.header));
    if (response.status !== 401 || !sameOrigin(response.url, this.#options.origin)) return response;
    const isFirst = !this.wasChallenged;
    const asked = this.learn(response);
    if (isFirst && this.#scheme.kind === 'bearer') {
      // Nobody greeted this origin: what it says now is what it would have said then.
      await drain(response);
      return this.layer(next)({ ...request, scopes: mergeScopes(request.scopes ?? [], asked) });
    }
    if (first?.token) this.#forget(first.token);
    const second = await this.#authorization(request, mergeScopes(request.scopes ?? [], asked));
    // Without credentials, or with a password that was just refused, the same request gets the same answer.
    if (second === undefined || (second.header === first?.header && second.token === undefined)) return response;
    await drain(response);
    return next(withAuthorization(request, second.header));
  };

  /** Whether the origin has said which authentication it wants. */
  get wasChallenged(): boolean {
    return this.#scheme.kind !== 'none';
  }

  /** Takes over the challenge of a 401 from the origin. Returns the scopes it names. */
  learn(response: HttpResponse): readonly string[] {
    const challenges = parseChallenges(response.headers.get('www-authenticate') ?? '');
    const bearer = challenges.find((challenge) => challenge.scheme === 'bearer' && challenge.parameters.has('realm'));
    if (bearer) {
      this.#scheme = bearerScheme(bearer);
      return (bearer.parameters.get('scope') ?? '').split(' ');
    }
    if (challenges.some((challenge) => challenge.scheme === 'basic')) this.#scheme = { kind: 'basic' };
    return [];
  }

  async #authorization(
    request: HttpRequest,
    scopes: readonly string[],
  ): Promise<{ readonly header: string; readonly token?: Token } | undefined> {
    const scheme = this.#scheme;
    if (scheme.kind === 'none') return undefined;
    const credentials = await this.#options.credentials(this.#options.lifetime);
    if (credentials?.kind === 'registry-token') return { header: `Bearer ${credentials.token}` };
    if (scheme.kind === 'basic') {
      if (credentials?.kind !== 'password') return undefined;
      return { header: basicAuthorization(credentials.username, credentials.password) };
    }
    const token = await this.#token(scheme, scopes, credentials, request);
    return { header: `Bearer ${token.value}`, token };
  }

  async #token(
    scheme: Extract<Scheme, { kind: 'bearer' }>,
    scopes: readonly string[],
    credentials: Credentials | undefined,
    request: HttpRequest,
  ): Promise<Token> {
    const now = this.#options.now();
    this.#tokens = this.#tokens.filter((token) => token.expiresAt > now);
    const kept = this.#tokens.find((token) => token.renewAt > now && coversScopes(token.scopes, scopes));
    if (kept) return kept;
    const key = scopes.join(' ');
    const underway = this.#underway.get(key) ?? this.#fetch(key, scheme, scopes, credentials, request);
    this.#underway.set(key, underway);
    return untilAborted(underway, request.signal);
  }

  async #fetch(
    key: string,
    scheme: Extract<Scheme, { kind: 'bearer' }>,
    scopes: readonly string[],
    credentials: Credentials | undefined,
    request: HttpRequest,
  ): Promise<Token> {
    try {
      const wanted = {
        origin: this.#options.origin,
        registryHost: request.registryHost,
        realm: scheme.realm,
        service: scheme.service,
        scopes,
        credentials,
        // Others may be waiting for this token: the one who asked first must not take it away from them.
        signal: this.#options.lifetime,
      };
      const token = await requestToken(this.#options.sendTokenRequest, wanted, this.#options.now);
      this.#tokens.push(token);
      return token;
    } finally {
      this.#underway.delete(key);
    }
  }

  #forget(token: Token): void {
    this.#tokens = this.#tokens.filter((other) => other !== token);
  }
}

function bearerScheme(challenge: Challenge): Scheme {
  const { parameters } = challenge;
  return { kind: 'bearer', realm: parameters.get('realm') ?? '', service: parameters.get('service') };
}

function withAuthorization(request: HttpRequest, header: string | undefined): HttpRequest {
  return header === undefined ? request : { ...request, headers: { ...request.headers, authorization: header } };
}
