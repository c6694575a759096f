/**
 * A list of patterns where the last one that matches decides, by the rules of moby/patternmatcher: what `.dockerignore`,
 * `--exclude` and `--parents` share. A pattern that matches a directory matches all below it; `!` takes back.
 *
 * Paths are asked for while walking down, so the state of a directory carries what its parents matched and which
 * patterns can still match among its children: a name is compared with few patterns, and only its last component.
 * Invariant: the answer is that of `MatchesUsingParentResults`, whatever the order in which siblings are asked.
 */
import { Minimatch } from 'minimatch';
import { bytePathToText } from '../../core/index.ts';
import { badPattern, compileName, goSource, hasMagic, minimatchOptions, type NameMatcher } from './go-match.ts';

interface Pattern {
  readonly index: number;
  readonly negated: boolean;
  /** Without `**`: one matcher per component. */
  readonly components: readonly NameMatcher[] | undefined;
  /** `**` + `/` + one component: that component at any depth. */
  readonly last: NameMatcher | undefined;
  /** Anything else: the whole path. */
  readonly whole: NameMatcher | undefined;
}

/** What is known of a directory. */
export interface PatternState {
  /** The directory as text, '' for the root. */
  readonly path: string;
  readonly depth: number;
  /** By index of pattern: it matched the directory or a parent. */
  readonly matched: readonly boolean[];
  /** Patterns that may match a child, and how. */
  readonly live: readonly (NameMatcher | 'whole' | undefined)[];
}

export interface PatternAnswer {
  readonly matched: boolean;
  /** By index of pattern; hand it to `enter` when the path is a directory. */
  readonly byPattern: readonly boolean[];
}

export class PatternSet {
  readonly #patterns: readonly Pattern[];
  /** True when a pattern begins with `!`. */
  readonly hasExceptions: boolean;
  readonly root: PatternState;

  /** @param patterns cleaned, each accepted by `patternProblem` */
  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.map(compile);
    this.hasExceptions = this.#patterns.some((pattern) => pattern.negated);
    this.root = this.#state(
      '',
      0,
      this.#patterns.map(() => false),
    );
  }

  get isEmpty(): boolean {
    return this.#patterns.length === 0;
  }

  /** @param name one component, in bytes */
  match(directory: PatternState, name: string): PatternAnswer {
    const text = bytePathToText(name);
    const path = directory.path === '' ? text : `${directory.path}/${text}`;
    const byPattern: boolean[] = [];
    let matched = false;
    for (const pattern of this.#patterns) {
      let match = directory.matched[pattern.index] === true;
      if (!match && pattern.negated === matched) {
        const live = directory.live[pattern.index];
        match = live === undefined ? false : live === 'whole' ? pattern.whole?.(path) === true : live(text);
      }
      byPattern.push(match);
      if (match) matched = !pattern.negated;
    }
    return { matched, byPattern };
  }

  /** The state of a child directory, from the answer `match` gave for it. */
  enter(directory: PatternState, name: string, answer: PatternAnswer): PatternState {
    const text = bytePathToText(name);
    return this.#state(
      directory.path === '' ? text : `${directory.path}/${text}`,
      directory.depth + 1,
      answer.byPattern,
    );
  }

  /** May something at any depth below this directory get another answer than the directory itself? */
  mayChangeBelow(directory: PatternState, kind: 'include' | 'exception'): boolean {
    return this.#patterns.some(
      (pattern) =>
        pattern.negated === (kind === 'exception') &&
        directory.matched[pattern.index] !== true &&
        (pattern.components === undefined || reaches(pattern.components, directory)),
    );
  }

  #state(path: string, depth: number, matched: readonly boolean[]): PatternState {
    const above = path === '' ? [] : path.split('/');
    const live = this.#patterns.map((pattern) => {
      if (pattern.last) return pattern.last;
      if (pattern.whole) return 'whole';
      const components = pattern.components ?? [];
      return components.length === depth + 1 && above.every((name, at) => components[at]?.(name) === true)
        ? components[depth]
        : undefined;
    });
    return { path, depth, matched, live };
  }
}

/** Why Docker would refuse a cleaned pattern, or undefined. */
export function patternProblem(pattern: string): string | undefined {
  if (pattern === '!') return 'nothing follows the !';
  return badPattern(pattern.startsWith('!') ? pattern.slice(1) : pattern);
}

/** Go's filepath.Clean, for patterns and paths alike: `a//b/./c/../d/` is `a/b/d`. */
export function cleanPath(path: string): string {
  const absolute = path.startsWith('/');
  const kept: string[] = [];
  for (const component of path.split('/')) {
    if (component === '' || component === '.') continue;
    if (component !== '..') kept.push(component);
    else if (kept.length > 0 && kept.at(-1) !== '..') kept.pop();
    else if (!absolute) kept.push('..');
  }
  const joined = kept.join('/');
  return absolute ? `/${joined}` : joined === '' ? '.' : joined;
}

function reaches(components: readonly NameMatcher[], directory: PatternState): boolean {
  if (components.length <= directory.depth) return false;
  const above = directory.path === '' ? [] : directory.path.split('/');
  return above.every((name, at) => components[at]?.(name) === true);
}

function compile(text: string, index: number): Pattern {
  const negated = text.startsWith('!');
  const pattern = negated ? text.slice(1) : text;
  const none = { index, negated, components: undefined, last: undefined, whole: undefined };
  if (!pattern.includes('**')) {
    // An escaped slash or one inside a class would be cut here; no path component can contain it anyway.
    return { ...none, components: pattern.split('/').map(compileComponent) };
  }
  const tail = pattern.slice(3);
  if (pattern.startsWith('**/') && !tail.includes('/') && !tail.includes('**')) {
    return { ...none, last: compileComponent(tail) };
  }
  return { ...none, whole: compileWhole(pattern) };
}

function compileComponent(component: string): NameMatcher {
  return badPattern(component) === undefined ? compileName(component) : () => false;
}

/**
 * A pattern with `**`. minimatch agrees with Docker when every `**` is a whole component and there is no other magic than
 * `*`; elsewhere (`a**b` crosses slashes in Docker, not in minimatch) Docker's own translation holds.
 */
function compileWhole(pattern: string): NameMatcher {
  const plain = pattern.split('/').every((component) => component === '**' || !component.includes('**'));
  if (plain && !/[?[\\]/.test(pattern) && hasMagic(pattern)) {
    const matcher = new Minimatch(pattern, minimatchOptions);
    return (path) => matcher.match(path);
  }
  // A pattern that begins with `**` and has no other magic is a suffix in Docker: `**file` matches `a/xfile`.
  if (pattern.startsWith('**') && !hasMagic(pattern.slice(2)) && !pattern.includes('\\')) {
    const suffix = pattern.slice(2);
    return (path) => path.endsWith(suffix) || path === suffix.replace(/^\//, '');
  }
  const expression = new RegExp(`^${goSource(pattern, (isLast) => (isLast ? '.*' : '(?:.*\\/)?'))}$`, 'su');
  return (path) => expression.test(path);
}
