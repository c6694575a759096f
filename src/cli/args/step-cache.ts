/**
 * `--cache-from` and `--cache-to`: `type=registry,ref=…`, a bare reference, which means a registry, or `type=local`. The keys
 * are those buildx documents.
 */
import type { StepCacheAddress, StepCacheExport } from '../../builder/index.ts';
import { parseReference, repositoryName } from '../../image/index.ts';
import { parseKeyValues } from './csv.ts';
import { invalidFlag, knownKey, oneOf, parseBoolean } from './flag.ts';
import { parseLayerForm } from './layer-form.ts';

type Flag = '--cache-from' | '--cache-to';
type Fields = Readonly<Record<string, string>>;

const formKeys = ['compression', 'compression-level', 'force-compression'];
/** About the form of BuildKit's one manifest; ours are OCI image manifests always. */
const manifestKeys = ['oci-mediatypes', 'image-manifest'];
const written = ['mode', 'ignore-error', ...formKeys, ...manifestKeys];

const keysOf = {
  '--cache-from': { registry: ['ref', 'registry.insecure'], local: ['src', 'tag'] },
  '--cache-to': {
    registry: ['ref', 'registry.insecure', ...written],
    local: ['dest', 'tag', ...written],
    inline: written,
  },
} as const;

/** What else buildx knows, and what to do instead. */
const insteadOf: Readonly<Record<string, string>> = {
  inline: 'Name the image itself: --cache-from NAME.',
  gha: 'Use type=local with a folder that actions/cache keeps, or type=registry,ref=ghcr.io/OWNER/NAME.',
  s3: 'Use type=registry,ref=NAME, or type=local with a folder that is kept there.',
  azblob: 'Use type=registry,ref=NAME, or type=local with a folder that is kept there.',
};

/** Tags have 128 characters at most, and a step's key takes 64 and a dash. */
const longestTag = 63;

/** @throws TsbuildError `flag-invalid`, `reference-invalid` */
export function parseCacheFrom(text: string): StepCacheAddress {
  return addressOf('--cache-from', fieldsOf('--cache-from', text));
}

/** `inline`: the image itself is to say it. @throws TsbuildError `flag-invalid`, `reference-invalid` */
export function parseCacheTo(text: string): StepCacheExport | 'inline' {
  const flag = '--cache-to';
  const fields = fieldsOf(flag, text);
  const mode = oneOf(`${flag} mode`, fields.mode ?? 'min', ['min', 'max']);
  if (fields.type === 'inline') return 'inline';
  return {
    to: addressOf(flag, fields),
    mode,
    ...parseLayerForm(flag, (key) => fields[key]),
    ignoreError: parseBoolean(`${flag} ignore-error`, fields['ignore-error'] ?? 'false'),
  };
}

function fieldsOf(flag: Flag, text: string): Fields {
  const parsed = parseKeyValues(flag, text);
  if (parsed.every(({ value }) => value === undefined)) return { type: 'registry', ref: text };
  const fields: Record<string, string> = {};
  for (const { key, value } of parsed) {
    if (value === undefined || value === '') throw invalidFlag(flag, `${JSON.stringify(key)} is not key=value`);
    fields[key] = value;
  }
  const types = keysOf[flag];
  if (fields.type === undefined) {
    for (const key of Object.keys(fields)) knownKey(flag, key, ['type', ...types.registry, ...types.local]);
    throw invalidFlag(flag, `${JSON.stringify(text)} names no type`, 'Add type=registry,ref=NAME.');
  }
  const known: Readonly<Record<string, readonly string[]>> = types;
  const type = oneOf(`${flag} type`, fields.type, [...new Set([...Object.keys(known), ...Object.keys(insteadOf)])]);
  const instead = insteadOf[type];
  if (known[type] === undefined && instead !== undefined) {
    throw invalidFlag(flag, `tsbuild keeps no steps with type=${type}`, instead);
  }
  for (const key of Object.keys(fields)) knownKey(flag, key, ['type', ...(known[type] ?? [])]);
  for (const key of manifestKeys) {
    if (fields[key] !== undefined && !parseBoolean(`${flag} ${key}`, fields[key])) {
      throw invalidFlag(flag, `${key}=false asks for a form tsbuild does not write`, 'Leave it out.');
    }
  }
  return fields;
}

function addressOf(flag: Flag, fields: Fields): StepCacheAddress {
  if (fields.type === 'registry') {
    if (fields.ref === undefined) throw invalidFlag(flag, 'type=registry needs ref=', 'Add ref=NAME.');
    const reference = parseReference(fields.ref);
    if (reference.digest !== undefined) {
      throw invalidFlag(flag, `${fields.ref} names one manifest, and every step has its own`, 'Leave the digest out.');
    }
    return { kind: 'registry', repository: repositoryName(reference), ...tagMember(flag, tagIn(fields.ref)) };
  }
  const key = flag === '--cache-from' ? 'src' : 'dest';
  const path = fields[key];
  if (path === undefined) throw invalidFlag(flag, `type=local needs ${key}=`, `Add ${key}=DIRECTORY.`);
  return { kind: 'local', path, ...tagMember(flag, fields.tag) };
}

/** The tag as written: a name without one has no `latest` here. */
function tagIn(text: string): string | undefined {
  return /:([^/:]+)$/.exec(text)?.[1];
}

function tagMember(flag: Flag, tag: string | undefined): { readonly tag?: string } {
  if (tag === undefined) return {};
  if (!/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(tag) || tag.length > longestTag) {
    throw invalidFlag(
      flag,
      `${JSON.stringify(tag)} cannot begin the tags of steps`,
      `Use at most ${longestTag} of letters, digits, ".", "_" and "-".`,
    );
  }
  return { tag };
}
