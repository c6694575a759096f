/**
 * `--annotation` and the annotation keys of `--output`: what is annotated, for which platform, and with what.
 * Reference: docker buildx's page on annotations; without a target it is the manifest.
 */
import type { Annotation } from '../../builder/index.ts';
import { nearest } from '../../core/index.ts';
import { type Platform, parsePlatform } from '../../image/index.ts';
import { splitAssignment } from './csv.ts';
import { invalidFlag } from './flag.ts';

const targets = ['manifest', 'index', 'manifest-descriptor', 'index-descriptor'] as const;

/** `[target[platform],…:]key=value`. @throws TsbuildError `flag-invalid`, `platform-invalid` */
export function parseAnnotation(text: string, host: Platform): readonly Annotation[] {
  const flag = '--annotation';
  const { name, value } = splitAssignment(text);
  // A key may have colons of its own: only what looks like a list of targets is one.
  const match = /^([a-z-]+(?:\[[^\]]*\])?(?:,[a-z-]+(?:\[[^\]]*\])?)*):(.*)$/s.exec(name);
  const [, list = 'manifest', key = name] = match ?? [];
  if (value === undefined || key === '') {
    throw invalidFlag(flag, `${JSON.stringify(text)} is not key=value`, 'Write KEY=VALUE, or index:KEY=VALUE.');
  }
  return list.split(',').map((word) => {
    const [, target = '', platform] = /^([a-z-]+)(?:\[([^\]]*)\])?$/.exec(word) ?? [];
    return annotation(flag, target, platform, { key, value }, host);
  });
}

/** `annotation[-target][[platform]].key` of `--output`; undefined: another key. */
export function parseAnnotationKey(flag: string, name: string, value: string, host: Platform): Annotation | undefined {
  if (!name.startsWith('annotation')) return undefined;
  const match = /^annotation(?:-([a-z-]+))?(?:\[([^\]]*)\])?\.(\S+)$/.exec(name);
  if (!match) throw invalidFlag(flag, `there is no key ${JSON.stringify(name)}`, 'Write annotation.KEY=VALUE.');
  const [, target = 'manifest', platform, key = ''] = match;
  return annotation(flag, target, platform, { key, value }, host);
}

function annotation(
  flag: string,
  target: string,
  platform: string | undefined,
  pair: Pick<Annotation, 'key' | 'value'>,
  host: Platform,
): Annotation {
  const known = targets.find((one) => one === target);
  if (known === undefined) {
    const near = nearest(target, targets);
    throw invalidFlag(
      flag,
      `${JSON.stringify(target)} cannot be annotated, only ${targets.join(', ')}`,
      near === undefined ? undefined : `Did you mean ${near}?`,
    );
  }
  if (platform !== undefined && !known.startsWith('manifest')) {
    throw invalidFlag(flag, `an index is for every platform, and ${known}[${platform}] names one`, `Write ${known}.`);
  }
  return { target: known, ...(platform !== undefined && { platform: parsePlatform(platform, host) }), ...pair };
}
