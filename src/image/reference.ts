/**
 * Image references, by the rules of Docker (distribution/reference): `alpine` is docker.io/library/alpine:latest, a
 * first component with a dot, a colon or the name localhost is a host, and a digest beats a tag.
 */
import { TsbuildError } from '../core/index.ts';
import { type Digest, isDigest } from './digest.ts';

export interface Reference {
  /** Registry host with optional port, e.g. `docker.io`, `localhost:5000`. */
  readonly registry: string;
  /** Repository path, e.g. `library/alpine`. */
  readonly repository: string;
  /** Undefined only when a digest is given without a tag. */
  readonly tag?: string;
  readonly digest?: Digest;
}

const component = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const hostPattern =
  /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)(?::\d{1,5})?$/;

/** @throws TsbuildError `reference-invalid` */
export function parseReference(text: string): Reference {
  const fail = (why: string, hint = 'Write [host[:port]/]name[:tag][@sha256:…].'): never => {
    throw new TsbuildError({
      code: 'reference-invalid',
      message: `${JSON.stringify(text)} is not an image reference: ${why}`,
      hint,
    });
  };
  if (text === '') return fail('it is empty');
  let rest = text;
  let digest: Digest | undefined;
  const at = rest.indexOf('@');
  if (at >= 0) {
    const digestText = rest.slice(at + 1);
    if (!isDigest(digestText)) return fail('the part after @ is not a digest');
    digest = digestText;
    rest = rest.slice(0, at);
  }
  let tag: string | undefined;
  const colon = rest.lastIndexOf(':');
  if (colon > rest.lastIndexOf('/')) {
    tag = rest.slice(colon + 1);
    if (!tagPattern.test(tag)) return fail('the tag may hold letters, digits, _ . and -, 128 at most');
    rest = rest.slice(0, colon);
  }
  const slash = rest.indexOf('/');
  const first = slash < 0 ? '' : rest.slice(0, slash);
  const hasHost = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first);
  let registry = hasHost ? first : 'docker.io';
  let repository = hasHost ? rest.slice(slash + 1) : rest;
  if (!hostPattern.test(registry)) return fail('the host is not valid');
  if (registry === 'index.docker.io' || registry === 'registry-1.docker.io') registry = 'docker.io';
  if (repository !== repository.toLowerCase()) {
    return fail('the name has upper-case letters', `Write it in lower case: ${text.toLowerCase()}`);
  }
  if (!repository.split('/').every((part) => component.test(part)) || repository.length > 255) {
    return fail('the name may hold lower-case letters, digits and single separators . _ - /');
  }
  if (/^[0-9a-f]{64}$/.test(rest)) return fail('a bare 64-digit ID is not a name', 'Use sha256:… for an image ID.');
  if (registry === 'docker.io' && !repository.includes('/')) repository = `library/${repository}`;
  if (tag === undefined && digest === undefined) tag = 'latest';
  return { registry, repository, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
}

/** The full form: `docker.io/library/alpine:latest`. Two references are the same image name when this is equal. */
export function formatReference(reference: Reference): string {
  const { registry, repository, tag, digest } = reference;
  return `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** The short form people write: docker.io and library/ left out. */
export function familiarReference(reference: Reference): string {
  const full = formatReference(reference);
  if (reference.registry !== 'docker.io') return full;
  return full.slice('docker.io/'.length).replace(/^library\/(?=[^/]+$)/, '');
}

/** `registry/repository`, without tag and digest. */
export function repositoryName(reference: Reference): string {
  return `${reference.registry}/${reference.repository}`;
}
