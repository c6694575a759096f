/**
 * One component of a path against one component of a pattern, by the rules of Go's path/filepath.Match: `*` any run of
 * characters, `?` one character, `[a-z]` and `[^a]` classes, `\x` the character itself.
 *
 * minimatch decides where both agree: patterns whose only magic is `*`. It reads classes as a shell does (`[!a]` negates,
 * `[]a]` is a class, a bad class is literal text) and counts UTF-16 units for `?`, so those are decided here.
 * Invariant: a pattern that `badPattern` accepts never fails to compile, and a matcher never looks across a `/`.
 */
import { Minimatch } from 'minimatch';

export type NameMatcher = (name: string) => boolean;

/** Why Go would answer ErrBadPattern; undefined when the pattern is good. */
export function badPattern(pattern: string): string | undefined {
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern[at];
    if (character === '\\') {
      if (at + 1 === pattern.length) return 'it ends in a lone backslash';
      at += 1;
    } else if (character === '[') {
      const set = readClass(pattern, at);
      if (typeof set === 'string') return set;
      at = set.end - 1;
    }
  }
  return undefined;
}

/** True when Go sees magic: an unescaped `*`, `?` or `[`. */
export function hasMagic(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '\\') at += 1;
    else if (character === '*' || character === '?' || character === '[') return true;
  }
  return false;
}

/** @param pattern one component, accepted by `badPattern`; `**` means what `*` means */
export function compileName(pattern: string): NameMatcher {
  if (!/[*?[\\]/.test(pattern)) return (name) => name === pattern;
  if (/[?[\\]/.test(pattern)) {
    const expression = new RegExp(`^${goSource(pattern)}$`, 'su');
    return (name) => expression.test(name);
  }
  const matcher = new Minimatch(pattern.replace(/\*+/g, '*'), minimatchOptions);
  return (name) => matcher.match(name);
}

export const minimatchOptions = {
  dot: true,
  nobrace: true,
  noext: true,
  nonegate: true,
  nocomment: true,
  platform: 'linux',
} as const;

/**
 * The pattern as the source of a regular expression with the `u` flag.
 * @param doubleStar what `**`, with a `/` that follows it, becomes; by default it is `*`
 */
export function goSource(pattern: string, doubleStar?: (isLast: boolean) => string): string {
  let source = '';
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern.charAt(at);
    if (character === '*') {
      if (doubleStar && pattern[at + 1] === '*') {
        at += pattern[at + 2] === '/' ? 2 : 1;
        source += doubleStar(at + 1 >= pattern.length);
      } else source += '[^/]*';
    } else if (character === '?') source += '[^/]';
    else if (character === '\\') {
      at += 1;
      source += quoted(pattern.charAt(at));
    } else if (character === '[') {
      const set = readClass(pattern, at);
      if (typeof set === 'string') return '(?!)';
      source += set.source;
      at = set.end - 1;
    } else source += quoted(character);
  }
  return source;
}

/** A class that starts at `pattern[at] === '['`: its end (exclusive) and its source, or what is wrong with it. */
function readClass(pattern: string, at: number): { readonly end: number; readonly source: string } | string {
  const negated = pattern[at + 1] === '^';
  let next = at + (negated ? 2 : 1);
  let ranges = '';
  const unclosed = 'it has a [ that is not closed';
  /** One character of a range; `-` and `]` must be escaped, as in Go. */
  const character = (): string | undefined => {
    if (pattern[next] === '\\') next += 1;
    else if (pattern[next] === '-' || pattern[next] === ']') return undefined;
    const point = pattern.codePointAt(next);
    if (point === undefined) return undefined;
    const text = String.fromCodePoint(point);
    next += text.length;
    return next < pattern.length ? text : undefined;
  };
  while (ranges === '' || pattern[next] !== ']') {
    const low = character();
    if (low === undefined) return next >= pattern.length ? unclosed : 'it has a class that is empty or misplaces a -';
    let high: string | undefined = low;
    if (pattern[next] === '-') {
      next += 1;
      high = character();
      if (high === undefined) return next >= pattern.length ? unclosed : 'it has a range without an end';
    }
    // A range that runs backwards matches nothing in Go; it is an error in a RegExp.
    if ((low.codePointAt(0) ?? 0) <= (high.codePointAt(0) ?? 0)) ranges += `${inClass(low)}-${inClass(high)}`;
    else ranges += '\\u{10ffff}-\\u{10ffff}';
  }
  return { end: next + 1, source: negated ? `[^/${ranges}]` : `(?!/)[${ranges}]` };
}

function quoted(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

function inClass(character: string): string {
  return /[\\\]^[-]/.test(character) ? `\\${character}` : character;
}
