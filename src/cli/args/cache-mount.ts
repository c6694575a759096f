/** `--cache-mount`: where a cache mount comes from and goes to, so that it outlives the machine. */
import type { CacheMountPlace, KeptCacheMount } from '../../builder/index.ts';
import { formatReference, parseReference } from '../../image/index.ts';
import { parseKeyValues } from './csv.ts';
import { invalidFlag, oneOf, parseBoolean } from './flag.ts';

const flag = '--cache-mount';
const keys = ['id', 'type', 'src', 'source', 'dest', 'destination', 'path', 'ref', 'ignore-error'] as const;

/**
 * `id=ID,type=dir,path=DIR` or `id=ID,type=registry,ref=NAME`; with `src` and `dest` instead of `path` and `ref` a cache is
 * taken from one place and left at another, or only one of the two.
 * @throws TsbuildError `flag-invalid`, `reference-invalid`
 */
export function parseCacheMount(text: string): KeptCacheMount {
  const spec: { [K in (typeof keys)[number]]?: string } = {};
  for (const { key, value } of parseKeyValues(flag, text)) {
    const known = oneOf(flag, key, keys);
    if (value === undefined || value === '') throw invalidFlag(flag, `${key} has no value`, `Write ${key}=VALUE.`);
    spec[known] = value;
  }
  const { id, path, ref } = spec;
  if (id === undefined) {
    throw invalidFlag(flag, `${JSON.stringify(text)} has no id`, 'Write id=ID: the id of the mount, else its target.');
  }
  const kind = oneOf(`${flag} type`, spec.type ?? (ref === undefined ? 'dir' : 'registry'), ['dir', 'registry']);
  const both = kind === 'dir' ? path : ref;
  const other = kind === 'dir' ? 'ref' : 'path';
  if (spec[other] !== undefined)
    throw invalidFlag(flag, `type=${kind} has no ${other}=`, `Write ${kind === 'dir' ? 'path' : 'ref'}=.`);
  const from = spec.src ?? spec.source ?? both;
  const to = spec.dest ?? spec.destination ?? both;
  if (from === undefined && to === undefined) {
    throw invalidFlag(
      flag,
      `${id}: neither a source nor a destination`,
      `Add ${kind === 'dir' ? 'path=DIR' : 'ref=NAME'}.`,
    );
  }
  return {
    id,
    ...(from !== undefined && { from: placeOf(kind, from) }),
    ...(to !== undefined && { to: placeOf(kind, to) }),
    ignoreError: parseBoolean(`${flag} ignore-error`, spec['ignore-error'] ?? 'false'),
  };
}

function placeOf(kind: CacheMountPlace['kind'], text: string): CacheMountPlace {
  return kind === 'dir' ? { kind, path: text } : { kind, reference: formatReference(parseReference(text)) };
}
