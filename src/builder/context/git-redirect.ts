/**
 * Where the address of a private repository leads. git itself would send the header it was given on to whatever host a
 * redirect names; so with a header git follows none, and the redirects of the first request are followed here.
 * Invariant: the header goes to the origin of the address alone, and with it stays behind when a redirect leaves that.
 */
import { throwIfAborted } from '../../core/index.ts';
import { discard, loadUndici, type ProxyEnvironment, webAgent } from './web-agent.ts';

export interface AuthorizedRemote {
  readonly remote: string;
  /** Undefined: the remote is not, or no more, at the host the header is for. */
  readonly authorization: string | undefined;
}

const mostRedirects = 10;
const firstRequest = '/info/refs?service=git-upload-pack';

/** @param remote an http(s) address @throws TsbuildError `cancelled` */
export async function followRemote(
  remote: string,
  authorization: string,
  { proxyEnv, signal }: { readonly proxyEnv: ProxyEnvironment; readonly signal: AbortSignal },
): Promise<AuthorizedRemote> {
  const undici = await loadUndici();
  const agent = webAgent(undici, proxyEnv);
  try {
    let [address, moved] = [new URL(remote), remote];
    for (let hop = 0; hop < mostRedirects; hop += 1) {
      const response = await undici.request(`${plain(address)}${firstRequest}`, {
        dispatcher: agent,
        headers: { authorization, 'user-agent': 'git/2 tsbuild' },
        signal,
      });
      discard(response.body);
      const next = redirected(response.statusCode, response.headers.location, address);
      if (!next) break;
      if (next.origin !== address.origin) return { remote: plain(next), authorization: undefined };
      next.username = address.username;
      next.password = address.password;
      [address, moved] = [next, next.href];
    }
    return { remote: moved, authorization };
  } catch {
    throwIfAborted(signal);
    // git meets the same trouble, and says what it is.
    return { remote, authorization };
  } finally {
    await agent.destroy();
  }
}

/** The repository a response says to ask instead: as git has it, the end of the address must stay. */
function redirected(status: number, location: unknown, from: URL): URL | undefined {
  const asked = `${plain(from)}${firstRequest}`;
  if (status < 300 || status > 399 || typeof location !== 'string' || !URL.canParse(location, asked)) return undefined;
  const { protocol, href } = new URL(location, asked);
  const isKnown = (protocol === 'http:' || protocol === 'https:') && href.endsWith(firstRequest);
  return isKnown ? new URL(href.slice(0, -firstRequest.length)) : undefined;
}

/** Without the user's name and password, which a request does not take in its address. */
function plain({ origin, pathname }: URL): string {
  return `${origin}${pathname}`;
}
