/**
 * One server that speaks the distribution protocol: where it is, how it wants to be talked to, who we are there. The
 * first request is preceded by `GET /v2/`, which settles https or http and which authentication is asked for.
 * Invariant: credentials of this endpoint are given only to its own origin.
 */
import { isTsbuildError } from '../../core/index.ts';
import { Authenticator } from '../auth/authenticate.ts';
import type { Credentials } from '../auth/credentials.ts';
import { isRegistryError, isTransient } from '../errors.ts';
import { type HttpRequest, type HttpResponse, type Layer, type Send, stack } from '../http/message.ts';
import { isLoopback } from '../http/proxy.ts';
import { drain } from '../http/read-body.ts';
import { delayBefore, isTransientStatus, pause, type RetryPolicy } from '../http/retry.ts';
import { untilAborted } from '../http/shared-work.ts';
import { isNotTls } from '../http/transport-failure.ts';
import { readWholeBodies } from '../http/whole-body.ts';
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
  readonly policy: RetryPolicy;
  /** Aborts when the client is closed. */
  readonly lifetime: AbortSignal;
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

  /** One session for all; a failure is not remembered. */
  #open(signal: AbortSignal): Promise<Session> {
    this.#session ??= this.#connect(this.#options.lifetime).catch((error) => {
      this.#session = undefined;
      throw error;
    });
    return untilAborted(this.#session, signal);
  }

  /**
   * Settles the scheme. While it is open, a reset tells nothing: a server without TLS may end a handshake in silence, and
   * so may a busy one that has TLS. So both schemes are asked in turn until one answers like a registry.
   */
  async #connect(signal: AbortSignal): Promise<Session> {
    const { schemes, policy } = this.#options;
    const [only] = schemes;
    if (schemes.length === 1 && only !== undefined) return this.#ping(only, signal, true);
    for (let round = 1; ; round += 1) {
      const failures: unknown[] = [];
      for (const scheme of schemes) {
        try {
          return await this.#ping(scheme, signal, failures.some(isPlainHttp));
        } catch (error) {
          if (!mayHaveOtherScheme(error)) throw error;
          failures.push(error);
        }
      }
      const notMistaken = failures.filter((error) => !isPlainHttp(error));
      const telling = notMistaken.find((error) => !isGreetingOfTls(error)) ?? notMistaken[0] ?? failures[0];
      const silent = failures.every((error) => isRegistryError(error) && error.code === 'registry-timeout');
      if (round >= (silent ? silentRounds : policy.attempts) || !failures.some(isTransient)) throw telling;
      await pause(delayBefore(policy, round, undefined), signal);
    }
  }

  /** @param settled the scheme is known to be right, so that failures are worth retrying */
  async #ping(scheme: 'https' | 'http', signal: AbortSignal, settled: boolean): Promise<Session> {
    const { wire, retry, userAgent, now, lifetime } = this.#options;
    const origin = new URL(`${scheme}://${this.host}/`);
    const plain = stack(wire, retry, readWholeBodies());
    const authenticator = new Authenticator({
      origin,
      credentials: this.#options.credentials,
      sendTokenRequest: (request) => plain({ ...request, headers: { 'user-agent': userAgent, ...request.headers } }),
      lifetime,
      now,
    });
    const request: HttpRequest = {
      method: 'GET',
      url: new URL('/v2/', origin),
      headers: { 'user-agent': userAgent },
      signal,
      registryHost: this.host,
      greeting: true,
      retry: settled,
    };
    const response = await plain(request);
    const { status } = response;
    if (isTransientStatus(status) || status === tlsGreeting) throw await responseError(request, response, now());
    if (status === 401) authenticator.learn(response);
    await drain(response);
    return { origin, send: stack(wire, retry, readWholeBodies(), authenticator.layer) };
  }
}

/** A host that accepts connections and says nothing, in either scheme, is asked this often. */
const silentRounds = 2;

function isPlainHttp(error: unknown): boolean {
  return isRegistryError(error) && isNotTls(error.cause);
}

/** The status with which servers that want TLS answer plain http. */
const tlsGreeting = 400;

function isGreetingOfTls(error: unknown): boolean {
  return isRegistryError(error) && error.status === tlsGreeting;
}

function mayHaveOtherScheme(error: unknown): boolean {
  if (!isRegistryError(error)) return false;
  return isPlainHttp(error) || error.transient || error.code === 'registry-unreachable' || isGreetingOfTls(error);
}

/**
 * Which schemes a host may be spoken to in, in the order they are tried: plain http only for loopback, where it is the
 * likelier one and spares the loading of TLS, and where the user said so.
 */
export function schemesFor(
  host: string,
  settings: { readonly plainHttp?: boolean; readonly insecure?: boolean },
): readonly ('https' | 'http')[] {
  if (settings.plainHttp) return ['http'];
  if (settings.insecure) return ['https', 'http'];
  return isLoopback(new URL(`http://${host}`).hostname) ? ['http', 'https'] : ['https'];
}

/** True when another endpoint may know better: what to fall through on between a mirror and its registry. */
export function isEndpointFailure(error: unknown): boolean {
  return isTsbuildError(error) && /^(registry|manifest)-/.test(error.code);
}
