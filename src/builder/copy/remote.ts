/**
 * The remote sources of ADD as operands: a file over http(s), a commit of a git repository. What a text is, its form
 * says, as in BuildKit: `https://host/r.git` is a repository, `https://host/r.tar.gz` a file, which is not unpacked
 * unless asked for.
 */
import { redactUrl, TsbuildError } from '../../core/index.ts';
import { type Digest, isDigest } from '../../image/index.ts';
import {
  checkoutGit,
  fetchUrl,
  type GitAddress,
  openDirectoryTree,
  openRoot,
  parseGitAddress,
  type SourceCredentials,
} from '../context/index.ts';
import type { CopyOperand } from './operation.ts';

export type RemoteSource =
  | { readonly kind: 'git'; readonly address: GitAddress }
  | { readonly kind: 'http'; readonly url: string };

/** @returns undefined for a path of the context @throws TsbuildError `context-git-invalid` */
export function remoteSource(text: string): RemoteSource | undefined {
  const address = parseGitAddress(text);
  if (address) return { kind: 'git', address };
  return /^https?:\/\//.test(text) ? { kind: 'http', url: text } : undefined;
}

export interface RemoteOptions {
  /** A private folder tsbuild owns. */
  readonly temporary: string;
  readonly signal: AbortSignal;
  /** For private sources. */
  readonly credentials?: SourceCredentials;
  /** ADD's own flags. */
  readonly checksum?: string;
  readonly keepGitDir?: boolean;
  readonly unpack?: boolean;
  readonly proxyEnv?: Readonly<Record<string, string>>;
  readonly gitEnvironment?: Readonly<Record<string, string>>;
  readonly gitProtocols?: readonly string[];
}

export interface FetchedOperand extends AsyncDisposable {
  readonly operand: CopyOperand;
  /** Names what was fetched: the file's digest, or the commit. */
  readonly identity: string;
}

/**
 * Fetches a remote source; keep the result until the layer is written.
 * @throws TsbuildError `context-fetch-failed`, `context-git-failed`, `context-checksum-mismatch`, `context-invalid`,
 * `digest-invalid`, `cancelled`
 */
export async function fetchOperand(source: RemoteSource, options: RemoteOptions): Promise<FetchedOperand> {
  return source.kind === 'git' ? fetchRepository(source.address, options) : fetchFile(source.url, options);
}

async function fetchFile(url: string, options: RemoteOptions): Promise<FetchedOperand> {
  const { checksum, unpack, temporary, signal, proxyEnv } = options;
  const fetched = await fetchUrl(url, {
    temporary,
    signal,
    authorization: await options.credentials?.forFile(url),
    ...(checksum === undefined ? {} : { checksum: fileChecksum(checksum, url) }),
    ...(proxyEnv ? { proxyEnv } : {}),
  });
  const operand: CopyOperand = {
    kind: 'file',
    name: fetched.name,
    content: { kind: 'range', file: fetched.file, offset: 0 },
    size: fetched.size,
    mode: 0o600,
    mtime: fetched.mtime,
    digest: fetched.digest,
    unpack: unpack ?? false,
  };
  return { operand, identity: fetched.digest, [Symbol.asyncDispose]: () => fetched[Symbol.asyncDispose]() };
}

function fileChecksum(text: string, url: string): Digest {
  if (isDigest(text)) return text;
  throw new TsbuildError({
    code: 'digest-invalid',
    message: `--checksum=${text} is no digest for ${redactUrl(url)}`,
    hint: 'Write it as sha256: and 64 lower-case hexadecimal digits.',
  });
}

async function fetchRepository(address: GitAddress, options: RemoteOptions): Promise<FetchedOperand> {
  const { checksum, keepGitDir, temporary, signal, proxyEnv, gitEnvironment, gitProtocols } = options;
  for (const [flag, asked, given] of [
    ['checksum', address.checksum, checksum],
    ['keep-git-dir', address.keepGitDir, keepGitDir],
  ] as const) {
    if (asked !== undefined && given !== undefined && asked !== given) {
      throw new TsbuildError({
        code: 'context-git-invalid',
        message: `${address.description} and --${flag} contradict each other: ${asked} and ${given}`,
        hint: `Leave one of them out.`,
      });
    }
  }
  if (checksum !== undefined && !/^[0-9a-f]{7,64}$/.test(checksum)) {
    throw new TsbuildError({
      code: 'digest-invalid',
      message: `--checksum=${checksum} is no commit of ${address.description}`,
      hint: 'Write the commit as 40 lower-case hexadecimal digits.',
    });
  }
  const checkout = await checkoutGit(address, {
    temporary,
    signal,
    authorization: await options.credentials?.forRepository(address.remote),
    ...(proxyEnv && { proxyEnv }),
    ...(gitEnvironment && { environment: gitEnvironment }),
    ...(gitProtocols ? { protocols: gitProtocols } : {}),
    ...(checksum === undefined ? {} : { checksum }),
    ...(keepGitDir === undefined ? {} : { keepGitDir }),
  });
  try {
    const { folder, commit } = checkout;
    const root = openRoot({ folder, description: address.description, subfolder: address.subdir });
    return {
      operand: { kind: 'tree', tree: openDirectoryTree(root) },
      identity: `${commit}:${address.subdir}`,
      [Symbol.asyncDispose]: () => checkout[Symbol.asyncDispose](),
    };
  } catch (error) {
    await checkout[Symbol.asyncDispose]();
    throw error;
  }
}
