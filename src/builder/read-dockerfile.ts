/**
 * Finds the text of the Dockerfile: given with the request, at an address, in a file of this machine, in the context, or
 * the context itself when that is no archive.
 * Invariant: -f is a path of this machine where the context is a directory, and one inside the context elsewhere.
 */
import { join, relative, resolve } from 'node:path';
import { redactUrl, TsbuildError } from '../core/index.ts';
import { type BuildContext, fetchUrl, readRegularFile, sourceCredentials } from './context/index.ts';
import type { BuildRequest } from './types.ts';

const maxBytes = 16 * 1024 * 1024;
const defaultNames = ['Dockerfile', 'dockerfile'];
const standardInput = 'stdin';

export interface DockerfileText {
  /** What messages call it. */
  readonly name: string;
  readonly text: string;
}

export interface DockerfileSources {
  /** The build context, opened when it is needed. */
  context(): Promise<BuildContext>;
  /** A private folder, for what is downloaded. */
  temporary(): string;
  readonly signal: AbortSignal;
}

export function isDockerfileUrl(dockerfile: string): boolean {
  return /^https?:\/\//.test(dockerfile);
}

export function resolveContext({ context }: BuildRequest): string {
  return context.kind === 'directory' ? resolve(context.path) : '';
}

/** @throws TsbuildError `build-dockerfile-missing`, `context-fetch-failed`, `file-too-large`, and what opening the context throws */
export async function readDockerfile(request: BuildRequest, sources: DockerfileSources): Promise<DockerfileText> {
  const { dockerfile: named, dockerfileText } = request;
  if (dockerfileText !== undefined) {
    return { name: named === undefined || named === '-' ? standardInput : named, text: dockerfileText };
  }
  if (named !== undefined && isDockerfileUrl(named)) return await download(named, request, sources);
  if (request.context.kind === 'directory') return await fromThisMachine(request, sources);
  const context = await sources.context();
  if (context.dockerfile) {
    const name = request.context.kind === 'stream' ? standardInput : context.description;
    return { name: named ?? name, text: context.dockerfile.toString('utf8') };
  }
  for (const name of named === undefined ? defaultNames : [named]) {
    const bytes = await context.readFile(name, maxBytes);
    if (bytes) return { name, text: bytes.toString('utf8') };
  }
  throw missing(
    `${named ?? 'Dockerfile'} in ${context.description}`,
    named === undefined ? byDefaultHint : 'Check the path given with -f; it is relative to the context.',
  );
}

async function download(url: string, request: BuildRequest, sources: DockerfileSources): Promise<DockerfileText> {
  await using fetched = await fetchUrl(url, {
    temporary: sources.temporary(),
    signal: sources.signal,
    proxyEnv: request.proxyEnv,
    authorization: await sourceCredentials(request).forFile(url),
    limit: maxBytes,
  });
  const bytes = readRegularFile(fetched.file, maxBytes);
  return { name: redactUrl(url), text: bytes?.toString('utf8') ?? '' };
}

async function fromThisMachine(request: BuildRequest, sources: DockerfileSources): Promise<DockerfileText> {
  const named = request.dockerfile;
  const root = resolveContext(request);
  const candidates = named === undefined ? defaultNames.map((name) => join(root, name)) : [resolve(named)];
  for (const path of candidates) {
    const bytes = readRegularFile(path, maxBytes);
    if (bytes) return { name: named ?? relative(root, path), text: bytes.toString('utf8') };
  }
  // A context that cannot be used is the better thing to say.
  await sources.context();
  throw missing(
    named ?? candidates[0] ?? 'Dockerfile',
    named === undefined ? byDefaultHint : 'Check the path given with -f; it is relative to where you are.',
  );
}

const byDefaultHint = 'Name it with -f, or build a folder that has one.';

function missing(what: string, hint: string): TsbuildError {
  return new TsbuildError({
    code: 'build-dockerfile-missing',
    message: `there is no Dockerfile at ${what}`,
    hint,
  });
}
