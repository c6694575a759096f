/**
 * The build context, the named ones and the Dockerfile of a request. Each context is opened when something first reads
 * it, and its file hashes are remembered for the next build.
 */
import { isAbsolute, relative, resolve } from 'node:path';
import { bytePathFromText, TsbuildError } from '../core/index.ts';
import {
  type BuildContext,
  ContextScan,
  createHashMemo,
  type DirectoryTree,
  openContext,
  sourceCredentials,
} from './context/index.ts';
import { goBool } from './dockerfile/index.ts';
import { isDockerfileUrl, readDockerfile, resolveContext } from './read-dockerfile.ts';
import type { KnownSelections, OpenedSource } from './solve/index.ts';
import type { BuildPorts, BuildRequest, ContextSource } from './types.ts';

export interface ContextFiles extends AsyncDisposable {
  /** The Dockerfile's text and the name messages call it by. @throws TsbuildError `build-dockerfile-missing` */
  readDockerfile(): Promise<{ readonly name: string; readonly text: string }>;
  /** A context by name, before ignore rules; undefined: the build context. */
  context(name: string | undefined): Promise<BuildContext>;
  /** Begins to look at what the last build read of the build context, while the rest of this one is being prepared. */
  lookAhead(): void;
  /** A context by name; undefined: the build context. */
  open(name: string | undefined): Promise<OpenedSource>;
  /** Tells whether the ignore file leaves a path out of the build context; @param isAsked of it at all. */
  ignored(isAsked: boolean): Promise<(path: string) => boolean>;
  /** Keeps the file hashes of this build for the next. */
  save(): Promise<void>;
}

export async function openContexts(request: BuildRequest, ports: BuildPorts): Promise<ContextFiles> {
  const saves: (() => Promise<void>)[] = [];
  const contexts = new Map<string, Promise<BuildContext>>();
  const sources = new Map<string, Promise<OpenedSource>>();
  const scans = new Map<string, ContextScan>();

  const contextOf = (key: string, source: () => ContextSource): Promise<BuildContext> =>
    once(contexts, key, async () => {
      const chosen = source();
      // Only what has to be unpacked or cloned needs a place.
      const temporary = chosen.kind === 'directory' ? '' : ports.store.temporaryFolder();
      return openContext(chosen, {
        temporary,
        signal: ports.signal,
        proxyEnv: request.proxyEnv,
        credentials: sourceCredentials(request),
        ...(request.gitEnv && { gitEnvironment: request.gitEnv }),
        ...(key === '' && keepsGitDir(request) && { keepGitDir: true }),
      });
    });
  const scanOf = (key: string, source: ContextSource): ContextScan | undefined => {
    if (source.kind !== 'directory') return undefined;
    const scan = scans.get(key) ?? new ContextScan(ports.store.root, resolve(source.path));
    scans.set(key, scan);
    return scan;
  };
  const contextNamed = (name: string | undefined): Promise<BuildContext> =>
    name === undefined ? contextOf('', () => request.context) : contextOf(name, () => namedSource(request, name));
  const open = (name: string | undefined): Promise<OpenedSource> =>
    once(sources, name ?? '', async () => {
      const context = await contextNamed(name);
      const memo = createHashMemo(ports.store, context.key);
      saves.push(() => memo.save());
      const scan = scanOf(name ?? '', name === undefined ? request.context : namedSource(request, name));
      const known = { memo, ...(scan && { scan }) };
      const tree = await context.tree(name === undefined ? ignoreFor(request) : undefined, known);
      if (!scan) return { tree, memo };
      const { ignored, listings } = tree as DirectoryTree;
      saves.push(() => scan.save(listings));
      return { tree, memo, selections: selectionsUnder(ignored, scan) };
    });

  return {
    readDockerfile: () =>
      readDockerfile(request, {
        context: () => contextNamed(undefined),
        temporary: () => ports.store.temporaryFolder(),
        signal: ports.signal,
      }),
    context: contextNamed,
    open,
    lookAhead: () => void scanOf('', request.context),
    ignored: async (isAsked) => {
      // A remote context is not fetched for the sake of a warning.
      if (request.context.kind !== 'directory') return () => false;
      if (!isAsked) {
        // One that is not there is an error, read or not.
        await contextNamed(undefined);
        return () => false;
      }
      const { tree } = await open(undefined);
      return (path) => 'hiddenBy' in tree && (tree as DirectoryTree).hiddenBy(bytePathFromText(path)) !== undefined;
    },
    save: async () => {
      for (const save of saves) await save();
    },
    [Symbol.asyncDispose]: async () => {
      for (const opening of contexts.values()) {
        const context = await opening.catch(() => undefined);
        await context?.[Symbol.asyncDispose]();
      }
    },
  };
}

/** What is taken of a folder depends on the ignore rules, too. */
function selectionsUnder(ignored: readonly string[], scan: ContextScan): KnownSelections {
  const keyOf = (selection: unknown) => JSON.stringify([ignored, selection]);
  return {
    recall: (selection) => scan.recall(keyOf(selection)),
    remember: (selection, digest) => scan.remember(keyOf(selection), digest),
  };
}

/** Asked for by the build argument docker has for it, of the build context alone. */
function keepsGitDir({ buildArgs }: BuildRequest): boolean {
  return goBool(buildArgs.BUILDKIT_CONTEXT_KEEP_GIT_DIR ?? '') ?? false;
}

/** The Dockerfile whose own ignore file counts: a path in the context, or an absolute one outside of it. */
function ignoreFor(request: BuildRequest): string | undefined {
  const { dockerfile } = request;
  if (request.dockerfileText !== undefined || (dockerfile && isDockerfileUrl(dockerfile))) return undefined;
  if (request.context.kind !== 'directory' || dockerfile === undefined) return dockerfile ?? 'Dockerfile';
  const inside = relative(resolveContext(request), resolve(dockerfile));
  return inside.startsWith('..') || isAbsolute(inside) ? resolve(dockerfile) : inside;
}

function namedSource({ namedContexts }: BuildRequest, name: string): ContextSource {
  const named = namedContexts.get(name);
  if (named && named.kind !== 'image') return named;
  throw new TsbuildError({ code: 'internal', message: `the named context ${name} is no directory` });
}

function once<T>(map: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const existing = map.get(key) ?? make();
  map.set(key, existing);
  return existing;
}
