/**
 * `login` checks credentials with the registry and keeps them where Docker keeps its own: with the helper config.json
 * names, else in config.json itself. `logout` forgets them everywhere it can.
 */
import { TsbuildError } from '../../core/index.ts';
import type { RegistryClientOptions } from '../client/client-options.ts';
import { createRegistryClient } from '../client/registry-client.ts';
import { isRegistryError } from '../errors.ts';
import {
  type AuthFile,
  authFilePaths,
  type CredentialEnvironment,
  hostKeys,
  readAuthFile,
  withAuthFileLock,
  writeAuthFile,
} from './auth-file.ts';
import { helperErase, helperStore } from './credential-helper.ts';
import { helperFor, serverKey } from './stored-credentials.ts';

export interface LoginRequest {
  /** As references name it, or what Docker accepts: `docker.io`, `https://index.docker.io/v1/`, `localhost:5000`. */
  readonly registry: string;
  readonly username: string;
  readonly password: string;
  readonly environment: CredentialEnvironment;
  /** How to reach the registry; its credentials are not used. */
  readonly client: RegistryClientOptions;
  readonly signal: AbortSignal;
}

export interface LoginResult {
  readonly registry: string;
  /** The path of a file, or `docker-credential-…`. */
  readonly storedIn: string;
  /** True when the password lies in a file, readable by whoever can read the file. */
  readonly plainText: boolean;
}

/** @throws RegistryError `registry-unauthorized`; TsbuildError `registry-credentials` when they cannot be kept */
export async function login(request: LoginRequest): Promise<LoginResult> {
  const { username, password, environment, signal } = request;
  const registry = registryHost(request.registry);
  if (username === '' || password === '') {
    throw new TsbuildError({
      code: 'registry-credentials',
      message: `login to ${registry} needs a user name and a password`,
      hint: 'Give --username, and the password with --password-stdin.',
    });
  }
  const file = await fileToWrite(environment);
  await verify(request, registry);
  const helper = helperFor(file, registry);
  if (helper !== undefined) {
    await helperStore(helper, serverKey(registry), username, password, { env: environment.env, signal });
    // An empty entry is how Docker marks a registry its helper knows.
    await changeEntry(file.path, registry, {}, signal);
    return { registry, storedIn: `docker-credential-${helper}`, plainText: false };
  }
  const auth = Buffer.from(`${username}:${password}`, 'utf8').toString('base64');
  await changeEntry(file.path, registry, { auth }, signal);
  return { registry, storedIn: file.path, plainText: true };
}

/** Resolves to where credentials were removed from; empty when there were none. */
export async function logout(
  registryName: string,
  environment: CredentialEnvironment,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const registry = registryHost(registryName);
  const removed: string[] = [];
  for (const path of authFilePaths(environment)) {
    const file = await readAuthFile(path);
    if (!file) continue;
    const helper = helperFor(file, registry);
    const marked = hostKeys(registry).some((key) => file.auths.has(key));
    if (
      helper !== undefined &&
      (await helperErase(helper, serverKey(registry), { env: environment.env, signal })) &&
      marked
    ) {
      removed.push(`docker-credential-${helper}`);
    }
    if (!marked) continue;
    await changeEntry(path, registry, undefined, signal);
    if (helper === undefined) removed.push(path);
  }
  return removed;
}

/** Reads the file anew, so that what others wrote into it meanwhile stays. @param entry undefined: remove it */
function changeEntry(
  path: string,
  registry: string,
  entry: Readonly<Record<string, string>> | undefined,
  signal: AbortSignal,
): Promise<void> {
  return withAuthFileLock(path, signal, async () => {
    const file = (await readAuthFile(path)) ?? emptyAuthFile(path);
    await writeAuthFile(path, withAuth(file, registry, entry));
  });
}

async function verify(request: LoginRequest, registry: string): Promise<void> {
  const { username, password } = request;
  const client = createRegistryClient({
    ...request.client,
    credentials: { find: async () => ({ kind: 'password', username, password }) },
  });
  try {
    await client.verify(registry, request.signal);
  } catch (error) {
    if (!isRegistryError(error) || error.code !== 'registry-unauthorized') throw error;
    throw error.retold({
      message: `${registry} does not take this name and password: ${error.message}`,
      hint: 'Check both; where there are access tokens, one of them is the password. Nothing was kept.',
    });
  } finally {
    await client.close();
  }
}

async function fileToWrite(environment: CredentialEnvironment): Promise<AuthFile> {
  const [path = ''] = authFilePaths(environment);
  return (await readAuthFile(path)) ?? emptyAuthFile(path);
}

function emptyAuthFile(path: string): AuthFile {
  return { path, document: {}, auths: new Map(), credHelpers: new Map(), credsStore: undefined };
}

/** The document with one registry's entry replaced under its key, or removed; all else as it was. */
function withAuth(file: AuthFile, registry: string, entry: Readonly<Record<string, string>> | undefined) {
  const old = new Set(hostKeys(registry));
  const others = [...file.auths].filter(([key]) => !old.has(key));
  const auths = Object.fromEntries(entry === undefined ? others : [...others, [serverKey(registry), entry] as const]);
  return { ...file.document, auths };
}

/** The host out of what people give to login: URLs, Docker Hub's old addresses, a trailing slash. */
export function registryHost(text: string): string {
  const host = text
    .trim()
    .replace(/^https?:\/\//, '')
    .replace(/\/.*$/, '')
    .toLowerCase();
  if (host === '' || host === 'index.docker.io' || host === 'registry-1.docker.io') return 'docker.io';
  const url = URL.canParse(`https://${host}`) ? new URL(`https://${host}`) : undefined;
  if (url && url.username === '' && url.password === '') return host;
  throw new TsbuildError({
    code: 'reference-invalid',
    message: 'the name of the registry is not host[:port]',
    hint: 'Write it as in an image reference: ghcr.io, localhost:5000.',
  });
}
