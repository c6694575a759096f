/** `--cache-from` and `--cache-to`: `type=registry,ref=…`, or a bare reference, which means a registry. */
import { parseReference } from '../../image/index.ts';
import { parseKeyValues } from './csv.ts';
import { invalidFlag, knownKey, oneOf } from './flag.ts';

const written = ['mode', 'ignore-error', 'compression', 'compression-level', 'force-compression'];
const manifests = ['oci-mediatypes', 'image-manifest'];

/** As buildx documents them, both directions together. */
const keysOf = {
  registry: ['ref', 'registry.insecure', ...written, ...manifests],
  local: ['src', 'dest', 'tag', 'digest', ...written, ...manifests],
  inline: written,
  gha: ['url', 'url_v2', 'token', 'scope', 'timeout', 'version', 'repository', 'ghtoken', ...written],
  s3: [
    ...['bucket', 'region', 'name', 'prefix', 'blobs_prefix', 'manifests_prefix', 'endpoint_url', 'use_path_style'],
    ...['access_key_id', 'secret_access_key', 'session_token', 'touch_refresh', 'upload_parallelism'],
    ...['disable_accept_encoding', 'retry_mode', 'retry_max_attempts', ...written],
  ],
  azblob: [
    ...['account_url', 'secret_access_key', 'container', 'name', 'prefix', 'blobs_prefix', 'manifests_prefix'],
    ...['upload_parallelism', ...written],
  ],
} as const;

export type CacheSpec = Readonly<Record<string, string>>;

/** @throws TsbuildError `flag-invalid`, `reference-invalid` */
export function parseCacheSpec(flag: '--cache-from' | '--cache-to', text: string): CacheSpec {
  const fields = parseKeyValues(flag, text);
  if (fields.every(({ value }) => value === undefined)) {
    parseReference(text);
    return { type: 'registry', ref: text };
  }
  const spec: Record<string, string> = {};
  for (const { key, value } of fields) {
    if (value === undefined) throw invalidFlag(flag, `${JSON.stringify(key)} is not key=value`);
    spec[key] = value;
  }
  const anyKeys = ['type', ...new Set(Object.values(keysOf).flat())];
  if (spec.type === undefined) for (const key of Object.keys(spec)) knownKey(flag, key, anyKeys);
  if (spec.type === undefined)
    throw invalidFlag(flag, `${JSON.stringify(text)} names no type`, 'Add type=registry,ref=NAME.');
  const type = oneOf(`${flag} type`, spec.type, Object.keys(keysOf) as (keyof typeof keysOf)[]);
  for (const key of Object.keys(spec)) knownKey(flag, key, ['type', ...keysOf[type]]);
  const needed = { registry: 'ref', local: flag === '--cache-from' ? 'src' : 'dest' }[type as string];
  if (needed !== undefined && spec[needed] === undefined) {
    throw invalidFlag(
      flag,
      `type=${type} needs ${needed}=`,
      `Add ${needed}=${needed === 'ref' ? 'NAME' : 'DIRECTORY'}.`,
    );
  }
  if (spec.mode !== undefined) oneOf(`${flag} mode`, spec.mode, ['min', 'max']);
  return spec;
}
