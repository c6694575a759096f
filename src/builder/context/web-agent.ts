/** The connection to web servers: timeouts, and the proxies that the environment of the build names. */
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';

/** `http_proxy`, `https_proxy`, `no_proxy`, in either case. */
export type ProxyEnvironment = Readonly<Record<string, string>>;

type Undici = typeof import('undici');

/** The default is the whole module both in Node and in the bundle; names are only in Node. */
export async function loadUndici(): Promise<Undici> {
  return (await import('undici')).default as unknown as Undici;
}

/** Follows no redirect; destroy it when done. */
export function webAgent(undici: Undici, environment: ProxyEnvironment): Dispatcher {
  const value = (name: string): string => environment[name] ?? environment[name.toUpperCase()] ?? '';
  const timeouts = { connectTimeout: 30_000, headersTimeout: 120_000, bodyTimeout: 120_000 };
  if (value('http_proxy') === '' && value('https_proxy') === '') return new undici.Agent(timeouts);
  return new undici.EnvHttpProxyAgent({
    ...timeouts,
    httpProxy: value('http_proxy'),
    httpsProxy: value('https_proxy'),
    noProxy: value('no_proxy'),
  });
}

/** Reads no more of a response that is not wanted. */
export function discard(body: Readable): void {
  // What the connection says of that is no news.
  body.on('error', () => {});
  body.destroy();
}
