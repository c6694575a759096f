/**
 * Which proxy, if any, stands between us and a URL: HTTP_PROXY, HTTPS_PROXY and NO_PROXY as curl and Go read them, with
 * address ranges in NO_PROXY, and loopback always direct.
 */
import { BlockList, isIP } from 'node:net';
import { TsbuildError } from '../../core/index.ts';

export interface ProxySettings {
  readonly httpProxy?: string;
  readonly httpsProxy?: string;
  /** Comma-separated host names (with everything below them), addresses, CIDR ranges, each with an optional port; or `*`. */
  readonly noProxy?: string;
}

/** The settings out of an environment; lower case wins, as in curl. */
export function proxySettings(env: Readonly<Record<string, string | undefined>>): ProxySettings {
  const pick = (lower: string): string | undefined => env[lower] || env[lower.toUpperCase()] || undefined;
  const [http, https, none] = [pick('http_proxy'), pick('https_proxy'), pick('no_proxy')];
  return { ...(http && { httpProxy: http }), ...(https && { httpsProxy: https }), ...(none && { noProxy: none }) };
}

/** @throws TsbuildError `registry-config` when the proxy's address is no URL */
export function proxyFor(url: URL, settings: ProxySettings): URL | undefined {
  const text = url.protocol === 'https:' ? settings.httpsProxy : settings.httpProxy;
  if (!text || isLoopback(url.hostname) || isExempt(url, settings.noProxy ?? '')) return undefined;
  const full = text.includes('://') ? text : `http://${text}`;
  if (!URL.canParse(full) || !/^https?:$/.test(new URL(full).protocol)) {
    throw new TsbuildError({
      code: 'registry-config',
      message: `the proxy for ${url.protocol}//${url.host} is not an http or https URL`,
      hint: `Correct ${url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY'} in the environment.`,
    });
  }
  return new URL(full);
}

/** True for `localhost`, names below it, 127.0.0.0/8 and ::1. Takes a URL's `hostname`, brackets included. */
export function isLoopback(hostname: string): boolean {
  const host = unbracket(hostname).toLowerCase().replace(/\.$/, '');
  if (host === 'localhost' || host.endsWith('.localhost')) return true;
  if (isIP(host) === 4) return host.startsWith('127.');
  return host === '::1' || /^::ffff:(127\.|7f[0-9a-f]{2}:)/.test(host);
}

export function unbracket(hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
}

function isExempt(url: URL, list: string): boolean {
  const host = unbracket(url.hostname).toLowerCase().replace(/\.$/, '');
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return list
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => matches(entry.toLowerCase(), host, port));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  const range = /^\[?([0-9a-f.:]+)\]?\/(\d{1,3})$/.exec(entry);
  if (range) return inRange(host, range[1] ?? '', Number(range[2]));
  const parts = /^(\[[^\]]+\]|[^:]+|[0-9a-f:]+:[0-9a-f:.]*)(?::(\d+))?$/.exec(entry);
  const name = unbracket(parts?.[1] ?? entry).replace(/^\*?\./, '');
  if (parts?.[2] !== undefined && parts[2] !== port) return false;
  return host === name || (isIP(host) === 0 && host.endsWith(`.${name}`));
}

function inRange(host: string, network: string, prefix: number): boolean {
  const family = isIP(host);
  if (family === 0 || isIP(network) !== family || prefix > (family === 4 ? 32 : 128)) return false;
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(network, prefix, kind);
  return list.check(host, kind);
}
