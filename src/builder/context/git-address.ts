/**
 * Addresses of git repositories as BuildKit reads them (`git.md` of Docker's build documentation): `https://host/r.git`,
 * `ssh://`, `git://`, `user@host:path`, each with `#ref:subdir` or `?ref=&tag=&branch=&commit=&subdir=&…`. Pure.
 * Invariant: nothing in an address can be taken for an option by git or ssh.
 */
import { redactUrl, TsbuildError } from '../../core/index.ts';
import { cleanPath } from './pattern-set.ts';

export interface GitAddress {
  /** What git is given; may hold credentials. */
  readonly remote: string;
  /** For messages, without credentials. */
  readonly description: string;
  /** Branch, tag, full ref or commit; undefined: the remote's HEAD. */
  readonly ref: string | undefined;
  /** Relative, cleaned; '' is the whole repository. */
  readonly subdir: string;
  /** The commit, or its beginning, that the ref must turn out to be. */
  readonly checksum: string | undefined;
  readonly keepGitDir: boolean | undefined;
  readonly submodules: boolean;
  readonly fileTimes: 'commit' | 'checkout';
}

const scpLike = /^([a-zA-Z0-9_-]+)@([a-zA-Z0-9.-]+):([^?#]*)(\?[^#]*)?(#.*)?$/s;
const urlLike = /^([a-zA-Z0-9]+):\/\/([^?#]*)(\?[^#]*)?(#.*)?$/s;

/**
 * @param text an address as written; `github.com/owner/repository` counts only for contexts
 * @returns undefined for what is no git address
 * @throws TsbuildError `context-git-invalid`
 */
export function parseGitAddress(
  text: string,
  options: { readonly allowBareGithub?: boolean } = {},
): GitAddress | undefined {
  const written = options.allowBareGithub && text.startsWith('github.com/') ? `https://${text}` : text;
  const isBare = written !== text;
  const url = urlLike.exec(written);
  const scp = url ? null : scpLike.exec(written);
  if (!url && !scp) return undefined;
  if (url) {
    const scheme = (url[1] ?? '').toLowerCase();
    if (!['http', 'https', 'ssh', 'git'].includes(scheme)) return undefined;
    const path = (url[2] ?? '').replace(/^[^/]*/, '');
    if (scheme.startsWith('http') && !isBare && !path.endsWith('.git')) return undefined;
  }
  const remote = url ? `${url[1]}://${url[2]}` : `${scp?.[1]}@${scp?.[2]}:${scp?.[3]}`;
  const refuse = (problem: string): TsbuildError =>
    new TsbuildError({
      code: 'context-git-invalid',
      message: `${redactUrl(remote)} is not a git address that can be used: ${problem}`,
      hint: 'Write it as https://host/repository.git#ref:subdirectory.',
    });
  const host = (url ? (url[2] ?? '').split('/')[0]?.replace(/^.*@/, '') : scp?.[2]) ?? '';
  if (remote.startsWith('-') || host.startsWith('-')) throw refuse('it begins with a -');
  if (host === '') throw refuse('it names no host');
  if (/[\x00-\x20\x7f]/.test(text)) throw refuse('it has white space or control characters');

  const fragment = (url?.[4] ?? scp?.[5] ?? '').slice(1);
  const colon = fragment.indexOf(':');
  const asked: Asked = {
    ref: colon < 0 ? fragment : fragment.slice(0, colon),
    subdir: colon < 0 ? '' : fragment.slice(colon + 1),
  };
  readQuery(new URLSearchParams((url?.[3] ?? scp?.[4] ?? '').slice(1)), asked, refuse);
  if (asked.ref !== '') checkRef(asked.ref, refuse);
  return {
    remote,
    description: redactUrl(remote),
    ref: asked.ref === '' ? undefined : asked.ref,
    subdir: cleanPath(`/${asked.subdir}`).slice(1),
    checksum: asked.checksum,
    keepGitDir: asked.keepGitDir,
    submodules: asked.submodules ?? true,
    fileTimes: asked.fileTimes ?? 'commit',
  };
}

interface Asked {
  ref: string;
  subdir: string;
  checksum?: string;
  keepGitDir?: boolean;
  submodules?: boolean;
  fileTimes?: 'commit' | 'checkout';
}

type Refuse = (problem: string) => TsbuildError;

function readQuery(query: URLSearchParams, asked: Asked, refuse: Refuse): void {
  let tag = '';
  let branch = '';
  for (const key of new Set(query.keys())) {
    const values = query.getAll(key);
    const value = values[0] ?? '';
    if (values.length > 1) throw refuse(`it has several values for ?${key}=`);
    const isFlag = key === 'submodules' || key === 'keep-git-dir' || key === 'fetch-by-commit';
    if (value === '' && !isFlag) throw refuse(`?${key}= has no value`);
    if (key === 'ref') asked.ref = oneRef(asked.ref, value, refuse);
    else if (key === 'tag') tag = value.startsWith('refs/tags/') ? value : `refs/tags/${value}`;
    else if (key === 'branch') branch = value.startsWith('refs/heads/') ? value : `refs/heads/${value}`;
    else if (key === 'subdir') {
      if (asked.subdir !== '' && asked.subdir !== value) throw refuse('it names two subdirectories');
      asked.subdir = value;
    } else if (key === 'checksum' || key === 'commit') {
      if (!/^[0-9a-f]{7,64}$/.test(value)) throw refuse(`?${key}=${value} is no commit`);
      asked.checksum = value;
    } else if (key === 'keep-git-dir') asked.keepGitDir = flag(key, value, refuse);
    else if (key === 'submodules') asked.submodules = flag(key, value, refuse);
    else if (key === 'fetch-by-commit') flag(key, value, refuse);
    else if (key === 'mtime') {
      if (value !== 'checkout' && value !== 'commit') throw refuse('?mtime= is checkout or commit');
      asked.fileTimes = value;
    } else throw refuse(`?${key}= means nothing`);
  }
  if (tag !== '' && branch !== '') throw refuse('it names a tag and a branch');
  if (tag !== '') asked.ref = oneRef(asked.ref, tag, refuse);
  if (branch !== '') asked.ref = oneRef(asked.ref, branch, refuse);
}

function oneRef(known: string, value: string, refuse: Refuse): string {
  if (known !== '' && known !== value) throw refuse(`it names two refs, ${known} and ${value}`);
  return value;
}

/** Go's strconv.ParseBool; a flag without a value is true. */
function flag(key: string, value: string, refuse: Refuse): boolean {
  if (['', '1', 't', 'T', 'TRUE', 'true', 'True'].includes(value)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(value)) return false;
  throw refuse(`?${key}= is true or false`);
}

/** git-check-ref-format(1): enough of it that a ref is neither an option nor an expression. */
function checkRef(ref: string, refuse: Refuse): void {
  if (ref.startsWith('-')) throw refuse(`the ref ${JSON.stringify(ref)} begins with a -`);
  if (/[~^:?*[\\\s]|\.\.|@\{|\/\/|\/$|\.lock$/.test(ref)) throw refuse(`${JSON.stringify(ref)} is no ref`);
}
