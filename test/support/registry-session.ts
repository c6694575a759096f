/** A client for the length of a test, quick to give up and quick to try again. */
import { type BlobSource, copyGraph, type Descriptor, parseReference } from '../../src/image/index.ts';
import {
  createRegistryClient,
  type RegistryClient,
  type RegistryClientOptions,
  type RegistryRepository,
} from '../../src/registry/index.ts';

export const neverAborted = new AbortController().signal;

export const impatient: RegistryClientOptions = {
  retry: { attempts: 3, baseDelay: 1, maxDelay: 2_000 },
  timeouts: { headers: 2_000, upload: 2_000, bodyIdle: 2_000 },
};

export function session(options: RegistryClientOptions = {}): RegistryClient & AsyncDisposable {
  const client = createRegistryClient({ ...impatient, ...options });
  return { ...client, [Symbol.asyncDispose]: () => client.close() };
}

export function repositoryOf(client: RegistryClient, name: string): RegistryRepository {
  return client.repository(parseReference(name));
}

/** Pushes a graph and gives it a tag. */
export async function pushTo(
  repository: RegistryRepository,
  source: BlobSource,
  root: Descriptor,
  tag = 'latest',
): Promise<void> {
  await copyGraph(source, repository, root, { signal: neverAborted });
  await repository.tag(root, tag, neverAborted);
}

export function withPassword(username: string, password: string): RegistryClientOptions {
  return { credentials: { find: async () => ({ kind: 'password', username, password }) } };
}

/** What a promise is rejected with; fails when it is not. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('this should have failed');
}
