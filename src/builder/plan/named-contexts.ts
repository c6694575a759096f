/**
 * `--build-context name=…`: which context a name in the Dockerfile stands for. Names are compared as BuildKit compares
 * them: as image references, so that `alpine`, `alpine:latest` and `docker.io/library/alpine` are one name, and without
 * regard to case, as stage names are. `name::os/arch` counts for that platform alone, and before `name`.
 */
import { familiarReference, formatPlatform, type Platform, parsePlatform, parseReference } from '../../image/index.ts';
import type { NamedContext } from '../types.ts';

export interface FoundContext {
  /** As it was given on the command line. */
  readonly name: string;
  readonly context: NamedContext;
}

export function findNamedContext(
  contexts: ReadonlyMap<string, NamedContext>,
  name: string,
  platform: Platform,
): FoundContext | undefined {
  if (contexts.size === 0 || name === '') return undefined;
  const wanted = canonicalName(name);
  const of = (suffix: string): FoundContext | undefined => {
    for (const [given, context] of contexts) {
      if (canonicalContextName(given, platform) === `${wanted}${suffix}`) return { name: given, context };
    }
    return undefined;
  };
  return of(`::${formatPlatform(platform)}`) ?? of('');
}

function canonicalContextName(given: string, host: Platform): string {
  const at = given.indexOf('::');
  if (at < 0) return canonicalName(given);
  const platform = given.slice(at + 2);
  try {
    return `${canonicalName(given.slice(0, at))}::${formatPlatform(parsePlatform(platform, host))}`;
  } catch {
    // reference-invalid, platform-invalid: a name nothing in a Dockerfile has.
    return given;
  }
}

function canonicalName(name: string): string {
  const lower = name.toLowerCase();
  try {
    return familiarReference(parseReference(lower)).replace(/:latest$/, '');
  } catch {
    // reference-invalid: a stage may have a name no image can have.
    return lower;
  }
}
