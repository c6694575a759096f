/**
 * The build context, the named ones and the Dockerfile of a request. Each context is opened when something first reads
 * it, and its file hashes are remembered for the next build.
 */
import { isAbsolute, join, relative, resolve } from 'node:path';
import { bytePathFromText, TsbuildError } from '../core/index.ts';
import {
  type BuildContext,
  createHashMemo,
  type DirectoryTree,
  type HashMemo,
  openContext,
  readRegularFile,
} from './context/index.ts';
import type { OpenedSource } from './solve/index.ts';
import type { BuildPorts, BuildRequest, ContextSource, NamedContext } from './types.ts';

const maxDockerfileBytes = 16 * 1024 * 1024;

export interface ContextFiles extends AsyncDisposable {
  /** The Dockerfile's text and the name messages call it by. @throws TsbuildError `build-dockerfile-missing` */
  readDockerfile(): Promise<{ readonly name: string; readonly text: string }>;
  /** A context by name; undefined: the build context. */
  open(name: string | undefined): Promise<OpenedSource>;
  /** Tells whether the ignore file leaves a path out of the build context; @param isAsked of it at all. */
  ignored(isAsked: boolean): Promise<(path: string) => boolean>;
  /** Keeps the file hashes of this build for the next. */
  save(): Promise<void>;
}

export async function openContexts(request: BuildRequest, ports: BuildPorts): Promise<ContextFiles> {
  const memos: HashMemo[] = [];
  const contexts = new Map<string, Promise<BuildContext>>();
  const sources = new Map<string, Promise<OpenedSource>>();

  const contextOf = (key: string, source: () => ContextSource): Promise<BuildContext> =>
    once(contexts, key, async () => {
      const chosen = source();
      // Only what has to be unpacked or cloned needs a place.
      const temporary = chosen.kind === 'directory' ? '' : ports.store.temporaryFolder();
      return openContext(chosen, {
        temporary,
        signal: ports.signal,
        proxyEnv: request.proxyEnv,
        ...(request.gitEnv && { gitEnvironment: request.gitEnv }),
      });
    });
  const main = () => contextOf('', () => request.context);
  const open = (name: string | undefined): Promise<OpenedSource> =>
    once(sources, name ?? '', async () => {
      const context = name === undefined ? await main() : await contextOf(name, () => namedSource(request, name));
      const memo = createHashMemo(ports.store, context.key);
      memos.push(memo);
      return { tree: await context.tree(name === undefined ? ignoreFor(request) : undefined, memo), memo };
    });

  return {
    readDockerfile: () => readDockerfile(request, main),
    open,
    ignored: async (isAsked) => {
      // A remote context is not fetched for the sake of a warning.
      if (request.context.kind !== 'directory') return () => false;
      if (!isAsked) {
        // One that is not there is an error, read or not.
        await main();
        return () => false;
      }
      const { tree } = await open(undefined);
      return (path) => 'hiddenBy' in tree && (tree as DirectoryTree).hiddenBy(bytePathFromText(path)) !== undefined;
    },
    save: async () => {
      for (const memo of memos) await memo.save();
    },
    [Symbol.asyncDispose]: async () => {
      for (const opening of contexts.values()) {
        const context = await opening.catch(() => undefined);
        await context?.[Symbol.asyncDispose]();
      }
    },
  };
}

async function readDockerfile(
  request: BuildRequest,
  main: () => Promise<BuildContext>,
): Promise<{ name: string; text: string }> {
  if (request.dockerfileText !== undefined) return { name: request.dockerfile ?? '-', text: request.dockerfileText };
  if (request.context.kind === 'directory') {
    // As docker does: -f is a path of this machine, not of the context.
    const named = request.dockerfile;
    const candidates =
      named === undefined
        ? ['Dockerfile', 'dockerfile'].map((name) => join(resolveContext(request), name))
        : [resolve(named)];
    for (const path of candidates) {
      const bytes = readRegularFile(path, maxDockerfileBytes);
      if (bytes) return { name: named ?? relative(resolveContext(request), path), text: bytes.toString('utf8') };
    }
    // A context that cannot be used is the better thing to say.
    await main();
    throw missing(named ?? candidates[0] ?? 'Dockerfile', named === undefined);
  }
  const context = await main();
  if (context.dockerfile) return { name: request.dockerfile ?? '-', text: context.dockerfile.toString('utf8') };
  for (const name of request.dockerfile === undefined ? ['Dockerfile', 'dockerfile'] : [request.dockerfile]) {
    const bytes = await context.readFile(name, maxDockerfileBytes);
    if (bytes) return { name, text: bytes.toString('utf8') };
  }
  throw missing(`${request.dockerfile ?? 'Dockerfile'} in ${context.description}`, request.dockerfile === undefined);
}

/** The Dockerfile whose own ignore file counts: a path in the context, or an absolute one outside of it. */
function ignoreFor(request: BuildRequest): string | undefined {
  if (request.dockerfileText !== undefined) return undefined;
  const { dockerfile } = request;
  if (request.context.kind !== 'directory' || dockerfile === undefined) return dockerfile ?? 'Dockerfile';
  const inside = relative(resolveContext(request), resolve(dockerfile));
  return inside.startsWith('..') || isAbsolute(inside) ? resolve(dockerfile) : inside;
}

function resolveContext({ context }: BuildRequest): string {
  return context.kind === 'directory' ? resolve(context.path) : '';
}

function namedSource({ namedContexts }: BuildRequest, name: string): ContextSource {
  const named: NamedContext | undefined = [...namedContexts].find(
    ([key]) => key.toLowerCase() === name.toLowerCase(),
  )?.[1];
  if (named && named.kind !== 'image') return named;
  throw new TsbuildError({ code: 'internal', message: `the named context ${name} is no directory` });
}

function missing(what: string, byDefault: boolean): TsbuildError {
  return new TsbuildError({
    code: 'build-dockerfile-missing',
    message: `there is no Dockerfile at ${what}`,
    hint: byDefault
      ? 'Name it with -f, or build a folder that has one.'
      : 'Check the path given with -f; it is relative to where you are.',
  });
}

function once<T>(map: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const existing = map.get(key) ?? make();
  map.set(key, existing);
  return existing;
}
