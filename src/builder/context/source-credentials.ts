/**
 * What private sources are asked with: the build secrets that BuildKit gives a meaning (`source/git`, `source/http`).
 * Invariant: a value is made into a header for one address; who sends it keeps it to the origin of that address.
 */
import { TsbuildError } from '../../core/index.ts';
import { readSecret } from '../secrets.ts';
import type { BuildRequest } from '../types.ts';
import { parseGitAddress } from './git-address.ts';

type Asking = Pick<BuildRequest, 'secrets' | 'context' | 'namedContexts'>;

/** Both throw TsbuildError `build-secret-missing` and `context-credentials`. */
export interface SourceCredentials {
  /**
   * The Authorization header for a file: `HTTP_AUTH_TOKEN_<host>`, else `HTTP_AUTH_HEADER_<host>`, the host without a
   * port. Undefined: no secret is given for the host.
   */
  forFile(url: string): Promise<string | undefined>;
  /**
   * The Authorization header for a repository: the first given of `GIT_AUTH_HEADER.<host>`, `GIT_AUTH_TOKEN.<host>`
   * (with the port, if the address has one), `GIT_AUTH_HEADER`, `GIT_AUTH_TOKEN`. Where the command line names
   * repositories, the latter two belong to their hosts: an ADD of the Dockerfile cannot carry them to another.
   * Undefined: no secret is given for it, or it is reached in another way than http.
   * @param remote as git is given it
   */
  forRepository(remote: string): Promise<string | undefined>;
}

export function sourceCredentials(asking: Asking): SourceCredentials {
  return {
    forFile: (url) => fileHeader(url, asking),
    forRepository: (remote) => repositoryHeader(remote, asking),
  };
}

async function fileHeader(url: string, { secrets }: Asking): Promise<string | undefined> {
  if (!URL.canParse(url)) return undefined;
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  const token = await secretText(secrets, `HTTP_AUTH_TOKEN_${host}`);
  return token === undefined ? secretText(secrets, `HTTP_AUTH_HEADER_${host}`) : `Bearer ${token}`;
}

async function repositoryHeader(remote: string, asking: Asking): Promise<string | undefined> {
  const host = webHost(remote);
  if (host === undefined) return undefined;
  const named = namedHosts(asking);
  const isForAny = named.length === 0 || named.includes(host);
  for (const suffix of isForAny ? [`.${host}`, ''] : [`.${host}`]) {
    const header = await secretText(asking.secrets, `GIT_AUTH_HEADER${suffix}`);
    if (header !== undefined) return header;
    const token = await secretText(asking.secrets, `GIT_AUTH_TOKEN${suffix}`);
    if (token !== undefined) return `basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`;
  }
  return undefined;
}

/** The hosts of the repositories that the command line names. */
function namedHosts({ context, namedContexts }: Asking): string[] {
  return [context, ...namedContexts.values()].flatMap((source) => {
    const address = source.kind === 'git' ? parseGitAddress(source.url, { allowBareGithub: true }) : undefined;
    return (address && webHost(address.remote)) ?? [];
  });
}

function webHost(remote: string): string | undefined {
  return /^https?:\/\/(?:[^/@]*@)?([^/]+)/i.exec(remote)?.[1];
}

/** Files of secrets end in a line feed that is none of the secret. */
async function secretText(secrets: Asking['secrets'], id: string): Promise<string | undefined> {
  const source = secrets.get(id);
  if (!source) return undefined;
  const text = Buffer.from(await readSecret(source))
    .toString('utf8')
    .trim();
  // Nothing that could begin another header, or a line of git's configuration.
  if (/^[\x20-\x7e]+$/.test(text)) return text;
  throw new TsbuildError({
    code: 'context-credentials',
    message: `the secret ${id} ${text === '' ? 'is empty' : 'cannot stand in a header: it is not one line of plain characters'}`,
    hint: 'Give it the token or the header alone.',
  });
}
