/**
 * `docker-credential-*` programs (docker-credential-helpers protocol): one verb as argument, the input on stdin, JSON on
 * stdout. A helper has a time limit, and nothing it prints is ever shown: it may hold the secret.
 */
import { spawn } from 'node:child_process';
import { cancelled, isTsbuildError, systemErrorCode, TsbuildError } from '../../core/index.ts';
import type { Credentials } from './credentials.ts';

export interface HelperOptions {
  /** Handed to the helper; its PATH finds the program. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Milliseconds. Default 30 s. */
  readonly timeout?: number;
  readonly signal: AbortSignal;
}

const maxOutput = 1024 * 1024;
/** What every helper says when it has nothing; the protocol has no other sign of it. */
const nothingKnown = /^credentials not found in native keychain/;
const tokenUser = '<token>';

/** @param name without `docker-credential-` @throws TsbuildError `registry-credentials` */
export async function helperGet(
  name: string,
  server: string,
  options: HelperOptions,
): Promise<Credentials | undefined> {
  const { status, output } = await run(name, 'get', server, options);
  if (status !== 0) {
    if (nothingKnown.test(output.trim())) return undefined;
    throw failure(name, 'get', `ended with status ${status}`);
  }
  let answer: unknown;
  try {
    answer = JSON.parse(output);
  } catch {
    throw failure(name, 'get', 'did not answer with JSON');
  }
  const { Username: username, Secret: secret } = (answer ?? {}) as Record<string, unknown>;
  if (typeof username !== 'string' || typeof secret !== 'string') {
    throw failure(name, 'get', 'did not answer with Username and Secret');
  }
  if (secret === '') return undefined;
  if (username === tokenUser) return { kind: 'identity-token', token: secret };
  return { kind: 'password', username, password: secret };
}

export async function helperStore(
  name: string,
  server: string,
  username: string,
  secret: string,
  options: HelperOptions,
): Promise<void> {
  const input = JSON.stringify({ ServerURL: server, Username: username, Secret: secret });
  const { status } = await run(name, 'store', input, options);
  if (status !== 0) throw failure(name, 'store', `ended with status ${status}`);
}

/** Resolves to false when the helper knew nothing of the server. */
export async function helperErase(name: string, server: string, options: HelperOptions): Promise<boolean> {
  const { status, output } = await run(name, 'erase', server, options);
  if (status === 0) return true;
  if (nothingKnown.test(output.trim())) return false;
  throw failure(name, 'erase', `ended with status ${status}`);
}

function run(
  name: string,
  verb: 'get' | 'store' | 'erase',
  input: string,
  options: HelperOptions,
): Promise<{ readonly status: number; readonly output: string }> {
  // The name comes out of a file: it must not become a path.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw new TsbuildError({
      code: 'registry-credentials',
      message: `${JSON.stringify(name.slice(0, 100))} is not the name of a credential helper`,
      hint: 'Correct credsStore and credHelpers in config.json.',
    });
  }
  return new Promise((resolve, reject) => {
    // A process group of its own: what a hanging helper started is ended with it.
    const child = spawn(`docker-credential-${name}`, [verb], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...options.env },
      detached: true,
    });
    const chunks: Buffer[] = [];
    let length = 0;
    let problem: TsbuildError | undefined;
    const end = (reason: TsbuildError) => {
      problem ??= reason;
      killGroup(child.pid);
      child.stdout.destroy();
    };
    const timeout = options.timeout ?? 30_000;
    const timer = setTimeout(() => end(failure(name, verb, `did not answer within ${timeout / 1000} s`)), timeout);
    const onAbort = () => end(cancelled(options.signal));
    if (options.signal.aborted) onAbort();
    options.signal.addEventListener('abort', onAbort, { once: true });
    child.stdout.on('data', (chunk: Buffer) => {
      length += chunk.byteLength;
      if (length > maxOutput) end(failure(name, verb, 'answered without end'));
      else chunks.push(chunk);
    });
    // A helper may end without reading its input.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const release = () => {
      clearTimeout(timer);
      options.signal.removeEventListener('abort', onAbort);
    };
    child.once('error', (cause) => {
      release();
      reject(problem ?? notStarted(name, cause));
    });
    child.once('close', (status) => {
      release();
      if (problem) reject(problem);
      else resolve({ status: status ?? -1, output: Buffer.concat(chunks).toString('utf8') });
    });
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (systemErrorCode(error) !== 'ESRCH') throw error;
  }
}

function failure(name: string, verb: string, what: string): TsbuildError {
  return new TsbuildError({
    code: 'registry-credentials',
    message: `the credential helper docker-credential-${name} ${verb} ${what}`,
    hint: `Run docker-credential-${name} ${verb} yourself to see why, or take it out of config.json.`,
  });
}

/** True when a helper could not be asked because it is not installed. */
export function isHelperMissing(error: unknown): boolean {
  return isTsbuildError(error) && error.code === 'registry-credentials' && systemErrorCode(error.cause) === 'ENOENT';
}

function notStarted(name: string, cause: unknown): TsbuildError {
  const missing = systemErrorCode(cause) === 'ENOENT';
  return new TsbuildError({
    code: 'registry-credentials',
    message: `the credential helper docker-credential-${name} ${missing ? 'is not installed' : 'cannot be started'}`,
    hint: `Install it, or take "${name}" out of credsStore and credHelpers in config.json.`,
    cause,
  });
}
