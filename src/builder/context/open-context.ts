/** Opens what the user named as the build context, whatever kind it is. What only remote kinds need is loaded for them. */
import { resolve } from 'node:path';
import { redactUrl, TsbuildError } from '../../core/index.ts';
import type { ContextSource } from '../types.ts';
import { type BuildContext, openFolderContext } from './build-context.ts';
import { parseGitAddress } from './git-address.ts';
import type { SourceCredentials } from './source-credentials.ts';

export interface OpenContextOptions {
  /** For private sources. */
  readonly credentials?: SourceCredentials;
  /** A private folder tsbuild owns, for what is spooled, downloaded or cloned; not needed for a directory. */
  readonly temporary: string;
  readonly signal: AbortSignal;
  /** `http_proxy`, `https_proxy`, `no_proxy`, in either case. */
  readonly proxyEnv?: Readonly<Record<string, string>>;
  /** Further variables for git, e.g. SSH_AUTH_SOCK. */
  readonly gitEnvironment?: Readonly<Record<string, string>>;
  /** Protocols git may use beyond the network's. */
  readonly gitProtocols?: readonly string[];
  readonly keepGitDir?: boolean;
}

/**
 * @throws TsbuildError `context-invalid`, `context-git-invalid`, `context-git-failed`, `context-fetch-failed`,
 * `context-checksum-mismatch`, `archive-invalid`, `archive-too-large`, `cancelled`
 */
export async function openContext(source: ContextSource, options: OpenContextOptions): Promise<BuildContext> {
  switch (source.kind) {
    case 'directory': {
      const folder = resolve(source.path);
      return openFolderContext({ folder, description: `the directory ${source.path}`, key: folder });
    }
    case 'stream': {
      const { openArchiveContext, spool } = await import('./archive-context.ts');
      const spooled = await spool(source.open(), options.temporary, options.signal);
      return openArchiveContext({ ...spooled, description: source.name, key: `stream:${source.name}` }, options);
    }
    case 'http': {
      const [{ openArchiveContext }, { fetchUrl }] = await Promise.all([
        import('./archive-context.ts'),
        import('./fetch-url.ts'),
      ]);
      const authorization = await options.credentials?.forFile(source.url);
      const fetched = await fetchUrl(source.url, { ...options, authorization });
      const description = redactUrl(source.url);
      const { file, size, digest, mtime } = fetched;
      const known = { description, key: `http:${description}`, digest, modified: mtime };
      return openArchiveContext({ file, size, ...known }, options);
    }
    case 'git':
      return openGitContext(source.url, options);
  }
}

async function openGitContext(url: string, options: OpenContextOptions): Promise<BuildContext> {
  const address = parseGitAddress(url, { allowBareGithub: true });
  if (!address) {
    throw new TsbuildError({
      code: 'context-git-invalid',
      message: `${redactUrl(url)} is not a git address`,
      hint: 'Write it as https://host/repository.git#ref:subdirectory.',
    });
  }
  const { checkoutGit } = await import('./git-checkout.ts');
  const checkout = await checkoutGit(address, {
    temporary: options.temporary,
    signal: options.signal,
    authorization: await options.credentials?.forRepository(address.remote),
    ...(options.proxyEnv && { proxyEnv: options.proxyEnv }),
    ...(options.gitEnvironment && { environment: options.gitEnvironment }),
    ...(options.keepGitDir === undefined ? {} : { keepGitDir: options.keepGitDir }),
    ...(options.gitProtocols ? { protocols: options.gitProtocols } : {}),
  });
  try {
    const context = openFolderContext({
      folder: checkout.folder,
      description: address.description,
      key: `git:${address.description}:${address.subdir}`,
      commit: checkout.commit,
      time: checkout.committed,
      subfolder: address.subdir,
    });
    return { ...context, [Symbol.asyncDispose]: () => checkout[Symbol.asyncDispose]() };
  } catch (error) {
    await checkout[Symbol.asyncDispose]();
    throw error;
  }
}
