/** `--cache-from` and `--cache-to`: `type=registry,ref=…`, or a bare reference, which means a registry. */
import { parseReference } from '../../image/index.ts';
import { parseKeyValues } from './csv.ts';
import { invalidFlag, oneOf } from './flag.ts';

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
  if (spec.type === undefined)
    throw invalidFlag(flag, `${JSON.stringify(text)} names no type`, 'Add type=registry,ref=NAME.');
  const type = oneOf(`${flag} type`, spec.type, ['registry', 'local', 'inline', 'gha', 's3', 'azblob']);
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
