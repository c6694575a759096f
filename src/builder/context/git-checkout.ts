/**
 * Fetches one commit of a git repository into a private folder, with the `git` program.
 *
 * The repository is hostile: git runs with an empty home and no configuration of the user's or the system's, no hooks,
 * no helpers, only the network protocols an address may name (for submodules too), and never asks a question.
 * Invariant: credentials are in a file of mode 0600 while git runs and in nothing afterwards, nor in a message.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  lutimesSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { appendFile, chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  bytePathForFs,
  bytePathFromText,
  makeDirectories,
  redactText,
  redactUrl,
  systemErrorCode,
  TsbuildError,
  throwIfAborted,
} from '../../core/index.ts';
import type { GitAddress } from './git-address.ts';
import { type AuthorizedRemote, followRemote } from './git-redirect.ts';
import type { ProxyEnvironment } from './web-agent.ts';

export interface GitCheckoutOptions {
  /** A private folder tsbuild owns. */
  readonly temporary: string;
  readonly signal: AbortSignal;
  readonly keepGitDir?: boolean;
  /** Overrides the address's checksum. */
  readonly checksum?: string;
  readonly proxyEnv?: ProxyEnvironment;
  /** The Authorization header for the address. */
  readonly authorization?: string | undefined;
  /** Further variables for git: SSH_AUTH_SOCK, PATH. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Protocols beyond http, https, ssh and git; `file` for repositories of this machine. */
  readonly protocols?: readonly string[];
}

export interface GitCheckout extends AsyncDisposable {
  readonly folder: string;
  /** Full commit ID. */
  readonly commit: string;
  /** Seconds since 1970. */
  readonly committed: number;
}

/** @throws TsbuildError `context-git-failed`, `context-checksum-mismatch`, `cancelled` */
export async function checkoutGit(address: GitAddress, options: GitCheckoutOptions): Promise<GitCheckout> {
  const place = join(options.temporary, `git-${randomUUID()}`);
  const folder = join(place, 'tree');
  const dispose = (): Promise<void> => rm(place, { recursive: true, force: true });
  try {
    makeDirectories(folder, 0o700);
    const remote = await authorized(address, options);
    const git = await prepare(address, remote, place, options);
    const fetched = await fetchCommit(git, address);
    const commit = (await git('rev-parse', '--verify', '--end-of-options', `${fetched}^{commit}`)).trim();
    const checksum = options.checksum ?? address.checksum;
    if (
      checksum !== undefined &&
      !commit.startsWith(checksum) &&
      !(await git('rev-parse', fetched)).startsWith(checksum)
    ) {
      throw new TsbuildError({
        code: 'context-checksum-mismatch',
        message: `${address.description} is at ${commit}, not at ${checksum}`,
        hint: 'Correct the checksum, or the ref.',
      });
    }
    await git('checkout', '--quiet', '--force', '--detach', commit, '--');
    if (address.submodules && existsSync(join(folder, '.gitmodules'))) {
      const update = () => git('submodule', '--quiet', 'update', '--init', '--recursive', '--depth=1');
      // A submodule that was moved is still found by who sends no header and so may be redirected.
      if (remote.authorization === undefined || !(await succeeds(update()))) {
        await writeFile(join(place, 'home', '.gitconfig'), hardened);
        await update();
      }
    }
    const committed = Number((await git('show', '-s', '--format=%ct', commit)).trim());
    const keepGitDir = options.keepGitDir ?? address.keepGitDir ?? false;
    if (keepGitDir) withoutCredentials(join(folder, '.git'), address);
    const time = address.fileTimes === 'commit' ? committed : undefined;
    tidy(folder, keepGitDir, time);
    await rm(join(place, 'home'), { recursive: true, force: true });
    return { folder, commit, committed, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throwIfAborted(options.signal);
    throw error;
  }
}

type Git = (...args: readonly string[]) => Promise<string>;

function authorized({ remote }: GitAddress, options: GitCheckoutOptions): Promise<AuthorizedRemote> | AuthorizedRemote {
  const { authorization, proxyEnv = {}, signal } = options;
  return authorization === undefined
    ? { remote, authorization }
    : followRemote(remote, authorization, { proxyEnv, signal });
}

async function prepare(
  address: GitAddress,
  { remote, authorization }: AuthorizedRemote,
  place: string,
  options: GitCheckoutOptions,
): Promise<Git> {
  const home = join(place, 'home');
  const folder = join(place, 'tree');
  await mkdir(home, { mode: 0o700 });
  const headers = authorization === undefined ? '' : headerConfig(remote, authorization);
  await writeFile(join(home, '.gitconfig'), `${hardened}${headers}`, { mode: 0o600 });
  const env = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ...options.proxyEnv,
    ...options.environment,
    HOME: home,
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: join(home, '.gitconfig'),
    GIT_TERMINAL_PROMPT: '0',
    GIT_SSH_COMMAND: 'ssh -F /dev/null -o BatchMode=yes',
    GIT_ALLOW_PROTOCOL: ['http', 'https', 'ssh', 'git', ...(options.protocols ?? [])].join(':'),
    GIT_LFS_SKIP_SMUDGE: '1',
  };
  const hidden = [remote, address.remote, ...credentialsIn(authorization)];
  const git: Git = (...args) => run(args, { cwd: folder, env, address, hidden, signal: options.signal });
  await git('init', '--quiet', '--template=');
  await chmod(join(folder, '.git', 'config'), 0o600);
  await appendFile(join(folder, '.git', 'config'), configOf(remote));
  return git;
}

const hardened = `[core]
	hooksPath = /dev/null
	fsmonitor = false
	symlinks = true
	autocrlf = false
	attributesFile = /dev/null
[credential]
	helper =
[init]
	templateDir =
[fetch]
	recurseSubmodules = false
[gc]
	auto = 0
[advice]
	detachedHead = false
`;

/** The address was checked for control characters when it was parsed. */
function configOf(remote: string): string {
  return `[remote "origin"]\n\turl = ${quoted(remote)}\n`;
}

/**
 * For the repository alone, as in BuildKit: a submodule may be another's. On github.com, where one token opens all of
 * its user's repositories, for all of the host.
 */
function headerConfig(remote: string, authorization: string): string {
  const github = /^https:\/\/(?:[^/@]*@)?((?:www\.)?github\.com\/)/.exec(remote)?.[1];
  const scope = github === undefined ? remote.replace(/\/\/[^/@]*@/, '//') : `https://${github}`;
  return `[http ${quoted(scope)}]
	extraHeader = ${quoted(`Authorization: ${authorization}`)}
	followRedirects = false
`;
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/** What a server must not bring into a message: the header, and the token in it. */
function credentialsIn(authorization: string | undefined): string[] {
  if (authorization === undefined) return [];
  const value = authorization.replace(/^\S+\s+/, '');
  const decoded = Buffer.from(value, 'base64').toString('utf8');
  return [authorization, value, decoded, decoded.replace(/^[^:]*:/, '')].filter((text) => text.length > 3);
}

const fetchedRef = 'refs/tsbuild/fetched';

/** @returns the name the commit, or an annotated tag of it, was fetched under */
async function fetchCommit(git: Git, address: GitAddress): Promise<string> {
  const { ref, checksum } = address;
  const wanted = ref ?? (checksum !== undefined && isCommit(checksum) ? checksum : undefined);
  if (wanted !== undefined && isCommit(wanted)) {
    const direct = await succeeds(git('fetch', '--quiet', '--no-tags', '--depth=1', '--', 'origin', wanted));
    if (!direct) await fetchAll(git);
    return wanted;
  }
  const name = ref === undefined ? 'HEAD' : await remoteName(git, ref);
  if (name === undefined) {
    // Not a name of the remote: the beginning of a commit, perhaps.
    await fetchAll(git);
    return ref ?? 'HEAD';
  }
  const spec = `+${name}:${fetchedRef}`;
  const shallow = await succeeds(git('fetch', '--quiet', '--no-tags', '--depth=1', '--', 'origin', spec));
  // Plain web servers have no shallow fetches.
  if (!shallow) await git('fetch', '--quiet', '--no-tags', '--', 'origin', spec);
  return fetchedRef;
}

function isCommit(text: string): boolean {
  return /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

async function fetchAll(git: Git): Promise<void> {
  await git('fetch', '--quiet', '--', 'origin', '+refs/heads/*:refs/remotes/origin/*', '+refs/tags/*:refs/tags/*');
}

/** The full name of a branch or tag; a branch wins, as it does for git checkout. */
async function remoteName(git: Git, ref: string): Promise<string | undefined> {
  const names = (await git('ls-remote', '--quiet', '--', 'origin', ref))
    .split('\n')
    .map((line) => line.split('\t')[1] ?? '');
  return [ref, `refs/heads/${ref}`, `refs/tags/${ref}`].find((name) => names.includes(name));
}

async function succeeds(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (error instanceof TsbuildError && error.code === 'context-git-failed') return false;
    throw error;
  }
}

interface GitRun {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly address: GitAddress;
  /** What no message shows. */
  readonly hidden: readonly string[];
  readonly signal: AbortSignal;
}

/** Standard output; a failure carries the last lines of standard error. */
function run(args: readonly string[], { cwd, env, address, hidden, signal }: GitRun): Promise<string> {
  throwIfAborted(signal);
  return new Promise((resolve, reject) => {
    // A group of its own: git's helpers (remote-https, ssh) end with it.
    const child = spawn('git', [...args], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const stop = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // ESRCH: it ended by itself.
      }
    };
    signal.addEventListener('abort', stop, { once: true });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      errors = (errors + chunk).slice(-8192);
    });
    child.on('error', (cause) => {
      signal.removeEventListener('abort', stop);
      const isMissing = systemErrorCode(cause) === 'ENOENT';
      reject(failed(address, isMissing ? 'the git program is not installed' : cause.message, cause));
    });
    child.on('close', (code) => {
      signal.removeEventListener('abort', stop);
      if (code === 0) resolve(output);
      else reject(failed(address, `git ${args[0]} failed: ${lastLines(errors, hidden)}`));
    });
  });
}

function lastLines(text: string, hidden: readonly string[]): string {
  const clean = hidden.reduce((shown, one) => shown.replaceAll(one, URL.canParse(one) ? redactUrl(one) : '***'), text);
  return clean
    .replace(/\/\/[^/@\s]+@/g, '//***@')
    .trim()
    .split('\n')
    .slice(-3)
    .join('; ');
}

function failed(address: GitAddress, reason: string, cause?: unknown): TsbuildError {
  return new TsbuildError({
    code: 'context-git-failed',
    message: `${address.description} could not be fetched: ${reason}`,
    hint: 'Check the address, the ref, and your access to the repository.',
    cause,
  });
}

/** The address of a submodule may have come from ours, with the password in it. */
function withoutCredentials(gitDir: string, address: GitAddress): void {
  writeFileSync(join(gitDir, 'config'), configOf(redactUrl(address.remote)));
  const modules = join(gitDir, 'modules');
  const below = existsSync(modules) ? readdirSync(modules, { recursive: true, encoding: 'utf8' }) : [];
  for (const file of below.filter((path) => basename(path) === 'config').map((path) => join(modules, path))) {
    if (lstatSync(file).isFile()) writeFileSync(file, redactText(readFileSync(file, 'utf8')));
  }
}

/** Takes `.git` out, and gives modes and times that depend on the commit alone, not on the umask and the clock. */
function tidy(folder: string, keepGitDir: boolean, time: number | undefined): void {
  const folders: string[] = [bytePathFromText(folder)];
  for (let index = 0; index < folders.length; index += 1) {
    const above = folders[index] ?? '';
    for (const item of readdirSync(bytePathForFs(above), { withFileTypes: true, encoding: 'latin1' })) {
      const path = `${above}/${item.name}`;
      const place = bytePathForFs(path);
      if (item.name === '.git' && !keepGitDir) rmSync(place, { recursive: true, force: true });
      else if (item.isDirectory()) folders.push(path);
      else {
        if (item.isFile()) chmodSync(place, (lstatSync(place).mode & 0o100) !== 0 ? 0o755 : 0o644);
        if (time !== undefined) lutimesSync(place, time, time);
      }
    }
  }
  for (const path of folders.reverse()) {
    chmodSync(bytePathForFs(path), 0o755);
    if (time !== undefined) lutimesSync(bytePathForFs(path), time, time);
  }
}
