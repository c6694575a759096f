/**
 * Follows redirects by our own rules: at most five, never from https to plain http, never to an address a registry must
 * not choose, and no credential leaves the origin it was meant for.
 */
import { describeRequest, protocolError, RegistryError } from '../errors.ts';
import type { HttpRequest, HttpResponse, Layer } from './message.ts';
import { drain } from './read-body.ts';

const maxRedirects = 5;
const credentialHeaders = ['authorization', 'cookie', 'proxy-authorization'];

export function followRedirects(): Layer {
  return (next) => async (first) => {
    let request = first;
    for (let hops = 0; ; hops += 1) {
      const response = await next(request);
      if (!isRedirect(response, request)) return response;
      await drain(response);
      if (hops === maxRedirects) {
        throw new RegistryError({
          code: 'registry-redirect-refused',
          message: `${describeRequest(first.method, first.url)}: more than ${maxRedirects} redirects, the last to ${new URL(request.url).origin}`,
          hint: 'Check the registry or the proxy in front of it: it redirects in a circle.',
        });
      }
      request = redirected(request, response);
    }
  };
}

/** A 303, and a 301 or 302 to something else than GET and HEAD, would change the method: the caller sees those as they are. */
function isRedirect(response: HttpResponse, request: HttpRequest): boolean {
  if (response.status === 307 || response.status === 308) return true;
  const reads = request.method === 'GET' || request.method === 'HEAD';
  return reads && [301, 302, 303].includes(response.status);
}

function redirected(request: HttpRequest, response: HttpResponse): HttpRequest {
  const url = resolveLocation(request, response, 'the redirect');
  if (sameOrigin(url, request.url)) return { ...request, url };
  if (request.method === 'POST' && request.body !== undefined) {
    // The only POST with a body asks for a token, and its body is the credential.
    throw new RegistryError({
      code: 'registry-redirect-refused',
      message: `${describeRequest(request.method, request.url)}: the redirect leads to ${url.host}; no credentials are sent there`,
      hint: 'Correct the token realm in the configuration of the registry: it must be the address that answers.',
    });
  }
  const headers = Object.fromEntries(
    Object.entries(request.headers).filter(([name]) => !credentialHeaders.includes(name)),
  );
  return { ...request, url, headers };
}

/**
 * The absolute form of a `Location` (RFC 9110 10.2.2), refused when it leaves https.
 * @param what names it in the error: `the redirect`, `the upload location`
 */
export function resolveLocation(request: HttpRequest, response: HttpResponse, what: string): URL {
  const location = response.headers.get('location');
  if (location === undefined || location === '') {
    throw protocolError(request.method, request.url, `the answer ${response.status} has no Location`);
  }
  let url: URL;
  try {
    url = new URL(location, response.url);
  } catch (cause) {
    throw protocolError(request.method, request.url, 'the Location of the answer is not a URL', cause);
  }
  return checkTarget(request, url, what);
}

/** What every URL that the other side chose must satisfy. */
export function checkTarget(request: HttpRequest, url: URL, what: string): URL {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw protocolError(request.method, request.url, `${what} has the scheme ${url.protocol}`);
  }
  if (request.url.protocol === 'https:' && url.protocol === 'http:') {
    throw new RegistryError({
      code: 'registry-redirect-refused',
      message: `${describeRequest(request.method, request.url)}: ${what} leads from https to plain http at ${url.host}`,
      hint: 'Correct the external URL in the configuration of the registry: it must begin with https.',
    });
  }
  // User info in a URL the registry chose is a credential of its own making; it is not sent on.
  url.username = '';
  url.password = '';
  url.hash = '';
  return url;
}

export function sameOrigin(a: URL, b: URL): boolean {
  return a.protocol === b.protocol && a.host === b.host;
}
