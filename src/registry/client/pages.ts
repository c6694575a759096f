/**
 * Lists in pages (distribution spec, "Listing Tags"; RFC 8288 `Link`): only on the origin that was asked, no page twice,
 * a bounded number of pages and entries.
 */
import { describeRequest, protocolError, RegistryError } from '../errors.ts';
import type { HttpRequest, HttpResponse } from '../http/message.ts';
import { readBody } from '../http/read-body.ts';
import { sameOrigin } from '../http/redirects.ts';
import type { Exchange } from './upload-session.ts';

export interface PageLimits {
  readonly pages: number;
  readonly entries: number;
}

/** Of tags and repositories. */
const namesLimits: PageLimits = { pages: 10_000, entries: 1_000_000 };
/** Bytes of one page. */
export const maxPageBytes = 16 * 1024 * 1024;

/**
 * @param ask fetches a page: a path below /v2/, or the URL a page named
 * @param read takes the entries out of a page's JSON
 */
export async function* pages<T>(
  first: string,
  ask: (target: string | URL) => Promise<Exchange>,
  read: (document: Record<string, unknown>) => readonly T[],
  limits: PageLimits = namesLimits,
): AsyncIterable<T> {
  const seen = new Set<string>();
  let entries = 0;
  let target: string | URL | undefined = first;
  for (let page = 0; target !== undefined; page += 1) {
    const { request, response }: Exchange = await ask(target);
    const items = read(await readJson(request, response));
    entries += items.length;
    if (entries > limits.entries) throw tooMuch(request);
    yield* items;
    target = nextPage(request, response);
    // A page that leads back, or an empty one that leads on for ever, would never end.
    if (target !== undefined && (seen.has(target.href) || page + 1 >= limits.pages)) throw tooMuch(request);
    if (target !== undefined) seen.add(target.href);
  }
}

export async function readJson(request: HttpRequest, response: HttpResponse): Promise<Record<string, unknown>> {
  const bytes = await readBody(request, response, maxPageBytes);
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (cause) {
    throw protocolError(request.method, request.url, 'the answer is not JSON', cause);
  }
  throw protocolError(request.method, request.url, 'the answer is not a JSON object');
}

function nextPage(request: HttpRequest, response: HttpResponse): URL | undefined {
  const next = /<([^>]*)>[^,]*;\s*rel="?next"?/i.exec(response.headers.get('link') ?? '')?.[1];
  if (next === undefined) return undefined;
  if (!URL.canParse(next, response.url.href))
    throw protocolError(request.method, request.url, 'the link to the next page is not a URL');
  const url = new URL(next, response.url);
  if (sameOrigin(url, request.url)) return url;
  throw new RegistryError({
    code: 'registry-redirect-refused',
    message: `${describeRequest(request.method, request.url)}: the next page is on another host, ${url.host}`,
    hint: 'Correct the external URL in the configuration of the registry.',
  });
}

function tooMuch(request: HttpRequest): RegistryError {
  return protocolError(request.method, request.url, 'the list does not end');
}
