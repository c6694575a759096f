/** What the context argument and `--build-context` mean: a directory, stdin, a git repository, a remote file, an image. */
import { statSync } from 'node:fs';
import type { ContextSource, NamedContext } from '../../builder/index.ts';
import { nearest, redactUrl, TsbuildError } from '../../core/index.ts';
import { splitAssignment } from './csv.ts';
import { invalidFlag } from './flag.ts';

/** Transports that name an image, with two slashes (buildx) or one colon (skopeo). */
const imageSchemes = [
  ...['docker-image', 'docker', 'oci-layout', 'oci', 'oci-archive', 'docker-archive', 'docker-daemon'],
  ...['containers-storage', 'store'],
];
const sourceSchemes = ['https', 'http', 'git', 'ssh'];

/**
 * A local directory wins over everything that merely looks remote, as in docker.
 * @param open stdin, for `-`
 * @throws TsbuildError `context-unusable`
 */
export function parseContext(text: string, open: () => AsyncIterable<Uint8Array>): ContextSource {
  if (text === '-') return { kind: 'stream', name: 'stdin', open };
  const local = statKind(text);
  if (local === 'directory') return { kind: 'directory', path: text };
  if (isGitUrl(text)) return { kind: 'git', url: text };
  if (/^https?:\/\//.test(text)) return { kind: 'http', url: text };
  throw new TsbuildError({
    code: 'context-unusable',
    message:
      local === 'missing'
        ? `the build context ${shown(text)} does not exist`
        : `the build context ${text} is not a directory`,
    hint:
      local === 'missing'
        ? (mistypedScheme(text, sourceSchemes) ?? 'Name a directory, a git or http URL, or - for standard input.')
        : `Name its directory, and the Dockerfile with -f: tsbuild -f ${text} .`,
  });
}

/** `name=value` of `--build-context`. */
export function parseNamedContext(text: string): { readonly name: string; readonly context: NamedContext } {
  const flag = '--build-context';
  const { name, value } = splitAssignment(text);
  if (name === '' || value === undefined || value === '') {
    throw invalidFlag(
      flag,
      `${JSON.stringify(text)} is not name=context`,
      'Write e.g. assets=../assets or base=docker-image://alpine:3.',
    );
  }
  if (statKind(value) === 'directory') return { name, context: { kind: 'directory', path: value } };
  const scheme = schemeOf(value);
  if (scheme !== undefined && imageSchemes.includes(scheme))
    return { name, context: { kind: 'image', reference: value } };
  if (isGitUrl(value)) return { name, context: { kind: 'git', url: value } };
  if (/^https?:\/\//.test(value)) return { name, context: { kind: 'http', url: value } };
  if (value.startsWith('target:')) {
    throw invalidFlag(flag, `${value}: targets belong to bake files`, 'Name the stage in the Dockerfile instead.');
  }
  throw invalidFlag(
    flag,
    `${name}: the directory ${shown(value)} does not exist`,
    mistypedScheme(value, [...imageSchemes, ...sourceSchemes]) ??
      'Name a directory, docker-image://, oci-layout://, a git or an http URL.',
  );
}

/** The forms docker takes for a git repository (a web page that happens to be on a git host is none). */
export function isGitUrl(text: string): boolean {
  return (
    /^https?:\/\/[^?#]+\.git(?:[?#]|$)/.test(text) ||
    /^(?:git|ssh):\/\//.test(text) ||
    /^(?:github\.com\/)/.test(text) ||
    /^[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9.-]+:[^/]/.test(text) ||
    /^git@/.test(text)
  );
}

function schemeOf(text: string): string | undefined {
  return /^([a-z][a-z0-9-]*):/i.exec(text)?.[1];
}

/** Whatever it was meant to be, it may hold a password. */
function shown(text: string): string {
  return schemeOf(text) === undefined ? text : redactUrl(text);
}

function mistypedScheme(text: string, known: readonly string[]): string | undefined {
  const scheme = schemeOf(text);
  const near = scheme === undefined ? undefined : nearest(scheme, known);
  return near === undefined ? undefined : `Did you mean ${redactUrl(`${near}${text.slice(scheme?.length)}`)}?`;
}

function statKind(path: string): 'directory' | 'other' | 'missing' {
  try {
    return statSync(path).isDirectory() ? 'directory' : 'other';
  } catch {
    return 'missing';
  }
}
