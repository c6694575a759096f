/**
 * Package URLs of images, in the form BuildKit writes them (package-url/purl-spec; moby/buildkit `util/purl`):
 * `pkg:docker/host/name@tag?digest=…&platform=linux%2Famd64`. Pure.
 */
import { formatPlatform, normalizePlatform, type Platform } from './platform.ts';
import { familiarReference, type Reference } from './reference.ts';

/** @param type `docker` for what a registry has, `oci` for what lies in a file or folder */
export function packageUrl(type: 'docker' | 'oci', reference: Reference, platform?: Platform): string {
  const { registry, repository, tag, digest } = reference;
  const name = familiarReference({ registry, repository }).split('/').map(encodeURIComponent).join('/');
  const version = tag ?? (digest === undefined ? 'latest' : undefined);
  const qualifiers = [
    ...(digest === undefined ? [] : [`digest=${digest}`]),
    ...(platform ? [`platform=${encodeURIComponent(formatPlatform(normalizePlatform(platform)))}`] : []),
  ];
  const tail = qualifiers.length === 0 ? '' : `?${qualifiers.join('&')}`;
  return `pkg:${type}/${name}${version === undefined ? '' : `@${version}`}${tail}`;
}
