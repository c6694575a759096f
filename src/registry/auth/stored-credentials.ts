/**
 * Credentials as the machine has them: files in order, helpers where a file names one. Nothing is read before the first
 * registry asks for a password.
 */
import { isTsbuildError, type TsbuildError } from '../../core/index.ts';
import {
  type AuthFile,
  authFilePaths,
  type CredentialEnvironment,
  credentialsOf,
  hubKey,
  keysFor,
  readAuthFile,
} from './auth-file.ts';
import { helperGet, isHelperMissing } from './credential-helper.ts';
import type { CredentialSource, Credentials } from './credentials.ts';

export interface StoredCredentialsOptions extends CredentialEnvironment {
  /** Milliseconds a helper may take. Default 30 s. */
  readonly helperTimeout?: number;
  /**
   * Told of a helper that a file names and that is not installed: the registry is then spoken to without credentials of
   * that file. Default: it is an error.
   */
  readonly onMissingHelper?: (failure: TsbuildError) => void;
}

export function storedCredentials(options: StoredCredentialsOptions): CredentialSource {
  const found = new Map<string, Promise<Credentials | undefined>>();
  return {
    find(host, repository, signal) {
      const key = JSON.stringify([host, repository]);
      const known = found.get(key);
      if (known) return known;
      const search = findIn(options, host, repository, signal);
      found.set(key, search);
      // A failure is told to everyone who waits, and tried afresh by whoever comes later.
      search.catch(() => found.delete(key));
      return search;
    },
  };
}

async function findIn(
  options: StoredCredentialsOptions,
  host: string,
  repository: string | undefined,
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  for (const path of authFilePaths(options)) {
    const file = await readAuthFile(path);
    const credentials = file && (await findInFile(file, options, host, repository, signal));
    if (credentials) return credentials;
  }
  return undefined;
}

async function findInFile(
  file: AuthFile,
  options: StoredCredentialsOptions,
  host: string,
  repository: string | undefined,
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  const helper = helperFor(file, host);
  if (helper !== undefined) {
    const credentials = await askHelper(helper, options, host, signal);
    if (credentials) return credentials;
  }
  for (const key of keysFor(host, repository)) {
    const entry = file.auths.get(key);
    const credentials = entry && credentialsOf(entry);
    if (credentials) return credentials;
  }
  return undefined;
}

async function askHelper(
  helper: string,
  options: StoredCredentialsOptions,
  host: string,
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  try {
    return await helperGet(helper, serverKey(host), {
      env: options.env,
      ...(options.helperTimeout !== undefined && { timeout: options.helperTimeout }),
      signal,
    });
  } catch (error) {
    // A config.json that came from a desktop names helpers no server has; public images need none.
    if (!options.onMissingHelper || !isTsbuildError(error) || !isHelperMissing(error)) throw error;
    options.onMissingHelper(error);
    return undefined;
  }
}

/** The helper a file names for a host: the host's own, else the store of all. */
export function helperFor(file: AuthFile, host: string): string | undefined {
  const own = file.credHelpers.get(host) ?? (host === 'docker.io' ? file.credHelpers.get(hubKey) : undefined);
  return own ?? file.credsStore;
}

/** The name helpers and `auths` know a registry by. */
export function serverKey(host: string): string {
  return host === 'docker.io' ? hubKey : host;
}
