/**
 * Credential files: Docker's config.json and containers' auth.json, which differ only in that the latter may have keys
 * for a namespace or a repository (`quay.io/team/app`).
 * Invariant: what a file says is never part of an error; its path is.
 */

import { randomBytes } from 'node:crypto';
import { lstat, mkdir, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isTsbuildError, makeDirectories, systemErrorCode, TsbuildError } from '../../core/index.ts';
import { pause } from '../http/retry.ts';
import type { Credentials } from './credentials.ts';

export interface AuthFile {
  readonly path: string;
  /** The whole document, for writing it back. */
  readonly document: Readonly<Record<string, unknown>>;
  readonly auths: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
  /** Helper by host. */
  readonly credHelpers: ReadonlyMap<string, string>;
  readonly credsStore: string | undefined;
}

/** Where Docker files the credentials of Docker Hub. */
export const hubKey = 'https://index.docker.io/v1/';

export interface CredentialEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The user's home folder. */
  readonly home: string;
}

/** The files to look into, in order; the first that knows a registry wins. The first one is written to by login. */
export function authFilePaths({ env, home }: CredentialEnvironment): readonly string[] {
  const docker = join(env.DOCKER_CONFIG || join(home, '.docker'), 'config.json');
  return [
    ...(env.REGISTRY_AUTH_FILE ? [env.REGISTRY_AUTH_FILE] : []),
    docker,
    ...(env.XDG_RUNTIME_DIR ? [join(env.XDG_RUNTIME_DIR, 'containers/auth.json')] : []),
    join(env.XDG_CONFIG_HOME || join(home, '.config'), 'containers/auth.json'),
  ];
}

/** Undefined when there is no such file. @throws TsbuildError `registry-credentials` */
export async function readAuthFile(path: string): Promise<AuthFile | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes(systemErrorCode(cause) ?? '')) return undefined;
    throw unusable(path, 'cannot be read', 'Check its owner and mode.', cause);
  }
  let document: unknown;
  try {
    document = text.trim() === '' ? {} : JSON.parse(text);
  } catch {
    // The parser's message quotes the text, which holds passwords: it is not passed on.
    throw unusable(path, 'is not JSON', 'Correct it or move it away, then run tsbuild login again.');
  }
  if (!isRecord(document)) throw unusable(path, 'is not a JSON object', 'Correct it or move it away.');
  const { auths, credHelpers, credsStore } = document;
  return {
    path,
    document,
    auths: new Map(
      Object.entries(isRecord(auths) ? auths : {}).flatMap(([key, value]) =>
        isRecord(value) ? [[key, value] as const] : [],
      ),
    ),
    credHelpers: new Map(
      Object.entries(isRecord(credHelpers) ? credHelpers : {}).flatMap(([key, value]) =>
        typeof value === 'string' ? [[key, value] as const] : [],
      ),
    ),
    credsStore: typeof credsStore === 'string' && credsStore !== '' ? credsStore : undefined,
  };
}

/**
 * Replaces a credential file: private, complete or not at all. A symbolic link stays one.
 * @throws TsbuildError `registry-credentials`
 */
export async function writeAuthFile(path: string, document: Readonly<Record<string, unknown>>): Promise<void> {
  let draft: string | undefined;
  try {
    makeDirectories(dirname(path), 0o700);
    const target = await linkTarget(path);
    draft = join(dirname(target), `.config.json.${randomBytes(6).toString('hex')}`);
    // O_EXCL and mode 600 from the first moment: nobody else ever has it open.
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(document, null, '\t')}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, target);
    draft = undefined;
  } catch (cause) {
    throw unusable(path, 'cannot be written', 'Check the owner and mode of its folder, or set DOCKER_CONFIG.', cause);
  } finally {
    if (draft !== undefined) await rm(draft, { force: true });
  }
}

/** Milliseconds. A holder reads and writes one small file; one that takes longer has died. */
const lockPatience = 10_000;
const lockPoll = 25;

/**
 * Does the work while nobody else who asks for the same file does theirs: two logins at once must not lose one another's
 * entry. The lock is a directory beside the file, as other tools cannot be made to heed any.
 * @throws TsbuildError `registry-credentials`
 */
export async function withAuthFileLock<T>(path: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const lock = `${path}.tsbuild-lock`;
  await takeLock(path, lock, signal);
  try {
    return await work();
  } finally {
    await rm(lock, { recursive: true, force: true });
  }
}

async function takeLock(path: string, lock: string, signal: AbortSignal): Promise<void> {
  try {
    makeDirectories(dirname(path), 0o700);
    for (;;) {
      if (await madeFolder(lock)) return;
      const made = await stat(lock).catch(() => undefined);
      // Moved away under a name of its own first: of two who find it too old, one takes it off.
      if (made && Date.now() - made.mtimeMs > lockPatience) {
        const old = `${lock}.${randomBytes(6).toString('hex')}`;
        await rename(lock, old).then(
          () => rm(old, { recursive: true, force: true }),
          () => {},
        );
      }
      await pause(lockPoll, signal);
    }
  } catch (cause) {
    if (signal.aborted || isTsbuildError(cause)) throw cause;
    throw unusable(path, 'cannot be written', 'Check the owner and mode of its folder, or set DOCKER_CONFIG.', cause);
  }
}

async function madeFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Keys a registry's entry may stand under, most telling first. */
export function keysFor(host: string, repository: string | undefined): readonly string[] {
  const parts = repository?.split('/') ?? [];
  const namespaced = parts.map((_part, i) => `${host}/${parts.slice(0, parts.length - i).join('/')}`);
  return [...namespaced, ...hostKeys(host)];
}

/** The forms a bare host has in files written by Docker, old and new. */
export function hostKeys(host: string): readonly string[] {
  const hub = host === 'docker.io' ? [hubKey, 'index.docker.io', 'registry-1.docker.io'] : [];
  const names = [host, ...hub.filter((name) => !name.includes('/'))];
  const urls = names.flatMap((name) =>
    ['https://', 'http://'].flatMap((scheme) =>
      ['', '/', '/v1', '/v1/', '/v2', '/v2/'].map((path) => `${scheme}${name}${path}`),
    ),
  );
  const bare = names.flatMap((name) => [`${name}/v1/`, `${name}/v2/`, `${name}/`]);
  return [...new Set([...(host === 'docker.io' ? [hubKey] : []), ...names, ...urls, ...bare])];
}

/** What an entry of `auths` amounts to; undefined for the empty entries that helpers leave. */
export function credentialsOf(entry: Readonly<Record<string, unknown>>): Credentials | undefined {
  const text = (name: string) => (typeof entry[name] === 'string' ? entry[name] : '');
  if (text('registrytoken') !== '') return { kind: 'registry-token', token: text('registrytoken') };
  if (text('identitytoken') !== '') return { kind: 'identity-token', token: text('identitytoken') };
  const decoded = Buffer.from(text('auth'), 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = decoded.indexOf(':');
  const username = text('username') || (colon > 0 ? decoded.slice(0, colon) : '');
  const password = text('password') || (colon > 0 ? decoded.slice(colon + 1) : '');
  return username === '' || password === '' ? undefined : { kind: 'password', username, password };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

async function linkTarget(path: string): Promise<string> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await realpath(path) : path;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return path;
    throw error;
  }
}

function unusable(path: string, what: string, hint: string, cause?: unknown): TsbuildError {
  return new TsbuildError({
    code: 'registry-credentials',
    message: `the credential file ${path} ${what}`,
    hint,
    ...(cause !== undefined && { cause }),
  });
}
