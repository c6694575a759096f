/**
 * The bottom of the stack: one request over undici's pooled connections. Agents are made on first use, one per
 * combination of proxy, TLS settings and address guard. Of undici only what is needed is loaded, with the first request:
 * its agent alone takes a quarter of the time the whole takes (fetch, WebSocket, caches and mocks come with that).
 * Invariant: no byte leaves before the address policy has agreed.
 */
import type { Agent, Dispatcher } from 'undici';
import { throwIfAborted } from '../../core/index.ts';
import { checkAddress, guardedLookup } from './address-policy.ts';
import { dispatch } from './dispatch.ts';
import type { HttpRequest, Send } from './message.ts';
import { type ProxySettings, proxyFor } from './proxy.ts';
import type { TlsSettings } from './tls.ts';

export interface Timeouts {
  /** Milliseconds for the TCP and TLS handshakes. Default 30 s. */
  readonly connect?: number;
  /** Milliseconds from the end of a request to the headers of its answer. Default 60 s. */
  readonly headers?: number;
  /** The same for the first request to a registry. Default 15 s, or `headers` if that is less. */
  readonly greeting?: number;
  /** The same for requests that store something, which may copy a large blob first. Default 5 min. */
  readonly upload?: number;
  /** Milliseconds without a byte of the body. Default 60 s. */
  readonly bodyIdle?: number;
}

export interface TransportOptions {
  readonly proxy?: ProxySettings;
  readonly timeouts?: Timeouts;
  /** TLS settings of a host (`name` or `name:port`). */
  readonly tlsFor?: (host: string) => TlsSettings | undefined;
}

export interface Transport {
  readonly send: Send;
  /** Closes idle connections and breaks the others. */
  close(): Promise<void>;
}

export function createTransport(options: TransportOptions): Transport {
  const agents = new Map<string, Promise<Dispatcher>>();
  const greeting = Math.min(15_000, options.timeouts?.headers ?? Number.POSITIVE_INFINITY);
  const timeouts = {
    connect: 30_000,
    headers: 60_000,
    greeting,
    upload: 300_000,
    bodyIdle: 60_000,
    ...options.timeouts,
  };

  const agentFor = (request: HttpRequest): Promise<Dispatcher> => {
    const { url } = request;
    const proxy = proxyFor(url, options.proxy ?? {});
    const tls = url.protocol === 'https:' ? options.tlsFor?.(url.host) : undefined;
    const guarded = url.host !== request.registryHost && proxy === undefined;
    const key = JSON.stringify([proxy?.href, guarded, tls === undefined ? '' : url.host]);
    const agent = agents.get(key) ?? makeAgent(proxy, tls, guarded);
    agents.set(key, agent);
    return agent;
  };

  const makeAgent = async (proxy: URL | undefined, tls: TlsSettings | undefined, guarded: boolean) => {
    const secure = await tlsOptions(tls);
    const connect = { ...secure, timeout: timeouts.connect, ...(guarded && { lookup: guardedLookup }) };
    // Connections are not bounded here: the limit per host knows which requests may wait for which.
    const common: Agent.Options = {
      pipelining: 1,
      keepAliveTimeout: 10_000,
      connect,
    };
    // The default is the module both in Node and in the bundle; names are only in Node.
    if (proxy === undefined) {
      const { default: DirectAgent } = await import('undici/lib/dispatcher/agent.js');
      return new DirectAgent(common);
    }
    const { default: undici } = await import('undici');
    return new undici.ProxyAgent({
      ...common,
      uri: proxy.href,
      // A plain-http target is asked for by its absolute URL, as every other client does; CONNECT is often refused for it.
      proxyTunnel: false,
      requestTls: { ...secure, timeout: timeouts.connect },
    });
  };

  return {
    async send(request) {
      throwIfAborted(request.signal);
      checkAddress(request);
      return dispatch(await agentFor(request), request, timeouts);
    },
    async close() {
      const open = [...agents.values()];
      agents.clear();
      await Promise.all(open.map(async (agent) => (await agent).destroy()));
    },
  };
}

/** node:tls builds its list of authorities when it is imported: only where it is needed. */
async function tlsOptions(tls: TlsSettings | undefined) {
  return {
    ...(tls?.ca && { ca: [...(await import('node:tls')).rootCertificates, ...tls.ca] }),
    ...(tls?.cert !== undefined && { cert: tls.cert }),
    ...(tls?.key !== undefined && { key: tls.key }),
    ...(tls?.skipVerify && { rejectUnauthorized: false }),
  };
}
