/**
 * One server that speaks the distribution protocol: where it is, how it wants to be talked to, who we are there. The
 * first request is preceded by `GET /v2/`, which settles https or http and which authentication is asked for.
 * Invariant: credentials of this endpoint are given only to its own origin.
 */
import { isTsbuildError } from '../../core/index.ts';
import { Authenticator } from '../auth/authenticate.ts';
import type { Credentials } from '../auth/credentials.ts';
import { isRegistryError } from '../errors.ts';
import { type HttpRequest, type HttpResponse, type Layer, type Send, stack } from '../http/message.ts';
import { isLoopback } from '../http/proxy.ts';
import { drain } from '../http/read-body.ts';
import { isNotTls } from '../http/transport-failure.ts';
import { responseError } from '../response-error.ts';

export interface EndpointOptions {
  /** For messages and credentials: `docker.io`, `mirror.corp:5000`. */
  readonly name: string;
  /** Host and port on the wire. */
  readonly host: string;
  /** Path put before repository names, without slashes at its ends; '' for none. */
  readonly prefix: string;
  /** Schemes to try, in order. */
  readonly schemes: readonly ('https' | 'http')[];
  readonly credentials: (signal: AbortSignal) => Promise<Credentials | undefined>;
  /** Redirects, limits, log and transport. */
  readonly wire: Send;
  readonly retry: Layer;
  readonly userAgent: string;
  readonly now: () => number;
}

export type EndpointRequest = Omit<HttpRequest, 'url' | 'registryHost' | 'headers'> & {
  /** Below `/v2/`, or a URL the registry gave us. */
  readonly target: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
};

interface Session {
  readonly origin: URL;
  readonly send: Send;
}

export class Endpoint {
  readonly name: string;
  readonly host: string;
  readonly #options: EndpointOptions;
  #session: Promise<Session> | undefined;

  constructor(options: EndpointOptions) {
    this.#options = options;
    this.name = options.name;
    this.host = options.host;
  }

  /** `library/alpine` as this endpoint calls it. */
  repositoryPath(repository: string): string {
    return this.#options.prefix === '' ? repository : `${this.#options.prefix}/${repository}`;
  }

  /** Sends; whatever status comes back is the caller's to judge. The returned request is what was really asked. */
  async send(wanted: EndpointRequest): Promise<{ readonly request: HttpRequest; readonly response: HttpResponse }> {
    const session = await this.#open(wanted.signal);
    const { target, ...rest } = wanted;
    const request: HttpRequest = {
      ...rest,
      url: typeof target === 'string' ? new URL(`/v2/${target}`, session.origin) : target,
      registryHost: this.host,
      headers: { 'user-agent': this.#options.userAgent, ...wanted.headers },
    };
    return { request, response: await session.send(request) };
  }

  /** Like `send`, but any status that is not among `expected` is thrown as the error it stands for. */
  async expect(
    wanted: EndpointRequest,
    expected: readonly number[],
  ): Promise<{ readonly request: HttpRequest; readonly response: HttpResponse }> {
    const exchange = await this.send(wanted);
    if (expected.includes(exchange.response.status)) return exchange;
    throw await responseError(exchange.request, exchange.response, this.#options.now());
  }

  /** One session for all; an attempt that failed is not remembered. */
  #open(signal: AbortSignal): Promise<Session> {
    this.#session ??= this.#connect(signal).catch((error) => {
      this.#session = undefined;
      throw error;
    });
    return this.#session;
  }

  async #connect(signal: AbortSignal): Promise<Session> {
    const { schemes } = this.#options;
    for (const [index, scheme] of schemes.entries()) {
      try {
        return await this.#ping(new URL(`${scheme}://${this.host}/`), signal, schemes.length > 1 && index === 0);
      } catch (error) {
        if (index === schemes.length - 1 || !mayBePlainHttp(error)) throw error;
      }
    }
    throw new TypeError('an endpoint needs a scheme');
  }

  async #ping(origin: URL, signal: AbortSignal, guessing: boolean): Promise<Session> {
    const { wire, retry, userAgent, now } = this.#options;
    const plain = stack(wire, retry);
    const authenticator = new Authenticator({
      origin,
      credentials: this.#options.credentials,
      sendTokenRequest: (request) => plain({ ...request, headers: { 'user-agent': userAgent, ...request.headers } }),
      now,
    });
    const request: HttpRequest = {
      method: 'GET',
      url: new URL('/v2/', origin),
      headers: { 'user-agent': userAgent },
      signal,
      registryHost: this.host,
      retry: !guessing,
    };
    const response = await plain(request);
    if (response.status >= 500 || response.status === 429) throw await responseError(request, response, now());
    if (response.status === 401) authenticator.learn(response);
    await drain(response);
    return { origin, send: stack(wire, retry, authenticator.layer) };
  }
}

/** A handshake that ended in plain text or in silence: what a server without TLS does when it is greeted in TLS. */
function mayBePlainHttp(error: unknown): boolean {
  if (!isRegistryError(error)) return false;
  return isNotTls(error.cause) || error.code === 'registry-unreachable';
}

/** Which schemes a host may be spoken to in: plain http only for loopback and where the user said so. */
export function schemesFor(
  host: string,
  settings: { readonly plainHttp?: boolean; readonly insecure?: boolean },
): readonly ('https' | 'http')[] {
  if (settings.plainHttp) return ['http'];
  return settings.insecure || isLoopback(new URL(`http://${host}`).hostname) ? ['https', 'http'] : ['https'];
}

/** True when another endpoint may know better: what to fall through on between a mirror and its registry. */
export function isEndpointFailure(error: unknown): boolean {
  return isTsbuildError(error) && error.code.startsWith('registry-');
}
