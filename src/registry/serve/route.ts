/** The paths of the distribution spec (1.1, "Endpoints"), read once. Pure. */
import { type Digest, isDigest } from '../../image/index.ts';

export type Route =
  | { readonly kind: 'ping' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'tags'; readonly repository: string }
  | { readonly kind: 'blob'; readonly repository: string; readonly digest: Digest }
  | { readonly kind: 'uploads'; readonly repository: string }
  | { readonly kind: 'upload'; readonly repository: string; readonly session: string }
  | { readonly kind: 'manifest'; readonly repository: string; readonly reference: Digest | string }
  | { readonly kind: 'referrers'; readonly repository: string; readonly digest: Digest }
  | { readonly kind: 'invalid'; readonly code: 'NAME_INVALID' | 'DIGEST_INVALID' | 'TAG_INVALID' | 'UNSUPPORTED' };

const repositoryPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** @param path of the URL, without the query */
export function routeOf(path: string): Route {
  if (path === '/v2' || path === '/v2/') return { kind: 'ping' };
  if (path === '/v2/_catalog') return { kind: 'catalog' };
  const match = /^\/v2\/(.+)\/(?:(tags)\/list|(blobs)\/uploads\/([^/]*)|(blobs|manifests|referrers)\/([^/]+))$/.exec(
    path,
  );
  if (!match) return { kind: 'invalid', code: 'UNSUPPORTED' };
  const [, repository = '', tags, uploads, session = '', kind, reference = ''] = match;
  if (repository.length > 255 || !repositoryPattern.test(repository)) return { kind: 'invalid', code: 'NAME_INVALID' };
  if (tags) return { kind: 'tags', repository };
  if (uploads) return session === '' ? { kind: 'uploads', repository } : { kind: 'upload', repository, session };
  if (kind === 'manifests') {
    const known = isDigest(reference) || tagPattern.test(reference);
    return known ? { kind: 'manifest', repository, reference } : { kind: 'invalid', code: 'TAG_INVALID' };
  }
  if (!isDigest(reference)) return { kind: 'invalid', code: 'DIGEST_INVALID' };
  return { kind: kind === 'blobs' ? 'blob' : 'referrers', repository, digest: reference };
}
