/** Which of the annotations a user asked for stand on one document or descriptor. */
import { formatPlatform, type Platform } from '../../image/index.ts';
import type { Annotation } from '../types.ts';

/** The last of a key counts. */
export function annotationsFor(
  annotations: readonly Annotation[],
  target: Annotation['target'],
  platform?: Platform,
): Readonly<Record<string, string>> {
  const wanted = platform && formatPlatform(platform);
  const chosen = annotations.filter(
    (one) => one.target === target && (one.platform === undefined || formatPlatform(one.platform) === wanted),
  );
  return Object.fromEntries(chosen.map(({ key, value }) => [key, value]));
}

/** The member of a descriptor or document; nothing when there are none. */
export function annotationsMember(
  present: Readonly<Record<string, string>> | undefined,
  added: Readonly<Record<string, string>>,
): { readonly annotations?: Readonly<Record<string, string>> } {
  const all = { ...present, ...added };
  return Object.keys(all).length === 0 ? {} : { annotations: all };
}
