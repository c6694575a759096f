/**
 * One server that speaks the distribution protocol: where it is, how it wants to be talked to, who we are there. The
 * first request is preceded by `GET /v2/`, which settles https or http and which authentication is asked for; over plain
 * http, where most registries ask for none, by nothing when it may serve for that itself.
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
  /** With authentication. */
  readonly send: Send;
  /** Without. */
  readonly sendPlain: Send;
  readonly authenticator: Authenticator;
}

type Outcome =
  | { readonly kind: 'answer'; readonly response: HttpResponse }
  | { readonly kind: 'failure'; readonly error: unknown };

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
    if (this.#session === undefined && this.#mayGreet(wanted)) return this.#sendFirst(wanted);
    const session = await this.#open(wanted.signal);
    const request = this.#requestOf(wanted, session);
    return { request, response: await session.send(request) };
  }

  #requestOf({ target, ...rest }: EndpointRequest, { origin }: Session): HttpRequest {
    return {
      ...rest,
      url: typeof target === 'string' ? new URL(`/v2/${target}`, origin) : target,
      registryHost: this.host,
      headers: { 'user-agent': this.#options.userAgent, ...rest.headers },
    };
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
    this.#session ??= this.#remembered(this.#connect(this.#options.lifetime));
    return untilAborted(this.#session, signal);
  }

  #remembered(session: Promise<Session>): Promise<Session> {
    return session.catch((error) => {
      this.#session = undefined;
      throw error;
    });
  }

  /** A small answer that is read whole may be asked for twice. */
  #mayGreet({ method, readWhole }: EndpointRequest): boolean {
    return this.#options.schemes[0] === 'http' && readWhole !== undefined && (method === 'GET' || method === 'HEAD');
  }

  /**
   * Sends the first request without a greeting before it. Success and a challenge settle what a greeting would have
   * settled; after anything else, which a registry may also say to whom it does not know, all begins again with one.
   */
  async #sendFirst(
    wanted: EndpointRequest,
  ): Promise<{ readonly request: HttpRequest; readonly response: HttpResponse }> {
    const { lifetime } = this.#options;
    const session = this.#sessionOver('http');
    const request = this.#requestOf(wanted, session);
    // Others wait for what this request settles: whoever asked first must not take it away from them.
    const first = session.send({ ...request, signal: lifetime, greeting: true, retry: false }).then(
      (response): Outcome => ({ kind: 'answer', response }),
      (error): Outcome => ({ kind: 'failure', error }),
    );
    const settled = first.then(async (outcome) => {
      const succeeded = outcome.kind === 'answer' && outcome.response.status === 200;
      if (succeeded || session.authenticator.wasChallenged) return outcome;
      if (outcome.kind === 'answer') await drain(outcome.response);
      return undefined;
    });
    const opened = Promise.all([first, settled]).then(([outcome, known]) =>
      known ? session : this.#connect(lifetime, outcome.kind === 'failure' ? outcome.error : undefined),
    );
    this.#session = this.#remembered(opened);
    try {
      const next = await this.#open(wanted.signal);
      const outcome = await settled;
      if (outcome?.kind === 'failure') throw outcome.error;
      if (outcome) return { request, response: outcome.response };
      const again = this.#requestOf(wanted, next);
      return { request: again, response: await next.send(again) };
    } catch (error) {
      void settled.then((outcome) => outcome?.kind === 'answer' && outcome.response.body.discard());
      throw error;
    }
  }

  /**
   * Settles the scheme. While it is open, a reset tells nothing: a server without TLS may end a handshake in silence, and
   * so may a busy one that has TLS. So both schemes are asked in turn until one answers like a registry.
   * @param before how a request over plain http failed just now
   */
  async #connect(signal: AbortSignal, before?: unknown): Promise<Session> {
    const { schemes, policy } = this.#options;
    const [only] = schemes;
    if (schemes.length === 1 && only !== undefined) return this.#ping(only, signal, true);
    for (let round = 1; ; round += 1) {
      const failures: unknown[] = [];
      for (const scheme of schemes) {
        try {
          if (round === 1 && scheme === 'http' && isSilence(before)) throw before;
          return await this.#ping(scheme, signal, failures.some(isPlainHttp));
        } catch (error) {
          if (!mayHaveOtherScheme(error)) throw error;
          failures.push(error);
        }
      }
      const notMistaken = failures.filter((error) => !isPlainHttp(error));
      const telling = notMistaken.find((error) => !isGreetingOfTls(error)) ?? notMistaken[0] ?? failures[0];
      const silent = failures.every(isSilence);
      if (round >= (silent ? silentRounds : policy.attempts) || !failures.some(isTransient)) throw telling;
      await pause(delayBefore(policy, round, undefined), signal);
    }
  }

  /** @param settled the scheme is known to be right, so that failures are worth retrying */
  async #ping(scheme: 'https' | 'http', signal: AbortSignal, settled: boolean): Promise<Session> {
    const session = this.#sessionOver(scheme);
    const greeting = { method: 'GET', target: '', greeting: true, retry: settled, signal } as const;
    const request = this.#requestOf(greeting, session);
    const response = await session.sendPlain(request);
    const { status } = response;
    if (isTransientStatus(status) || status === tlsGreeting)
      throw await responseError(request, response, this.#options.now());
    if (status === 401) session.authenticator.learn(response);
    await drain(response);
    return session;
  }

  #sessionOver(scheme: 'https' | 'http'): Session {
    const { wire, retry, userAgent, now, lifetime, credentials } = this.#options;
    const origin = new URL(`${scheme}://${this.host}/`);
    const sendPlain = stack(wire, retry, readWholeBodies());
    const authenticator = new Authenticator({
      origin,
      credentials,
      sendTokenRequest: (request) =>
        sendPlain({ ...request, headers: { 'user-agent': userAgent, ...request.headers } }),
      lifetime,
      now,
    });
    const send = stack(wire, retry, readWholeBodies(), authenticator.layer);
    return { origin, send, sendPlain, authenticator };
  }
}

/** A host that accepts connections and says nothing, in either scheme, is asked this often. */
const silentRounds = 2;

function isSilence(error: unknown): boolean {
  return isRegistryError(error) && error.code === 'registry-timeout';
}

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
