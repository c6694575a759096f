import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cleanPath, PatternSet, type PatternState, patternProblem } from '../../../src/builder/context/index.ts';

/** Docker's translation of a pattern, written as plainly as possible: the judge of the fast one. */
function expressionOf(pattern: string): RegExp {
  let source = '';
  for (let at = 0; at < pattern.length; at += 1) {
    if (pattern.startsWith('**', at)) {
      at += pattern[at + 2] === '/' ? 2 : 1;
      source += at + 1 >= pattern.length ? '.*' : '(.*/)?';
    } else if (pattern[at] === '*') source += '[^/]*';
    else if (pattern[at] === '?') source += '[^/]';
    else source += (pattern[at] ?? '').replace(/[.+()|{}$^\]\\[]/g, '\\$&');
  }
  return new RegExp(`^${source}$`, 's');
}

function matchesOne(pattern: string, path: string): boolean {
  const suffix = pattern.slice(2);
  // `**x` is a suffix, unless there is more magic after it.
  if (pattern.startsWith('**') && !/[*?]/.test(suffix)) {
    return path.endsWith(suffix) || (suffix.startsWith('/') && path === suffix.slice(1));
  }
  return expressionOf(pattern).test(path);
}

interface Judged {
  readonly matched: boolean;
  readonly byPattern: readonly boolean[];
}

/** moby/patternmatcher's MatchesUsingParentResults, one path after its parent. */
function judge(patterns: readonly string[], path: string, parent: readonly boolean[]): Judged {
  let matched = false;
  const byPattern = patterns.map((written, index) => {
    const negated = written.startsWith('!');
    const pattern = negated ? written.slice(1) : written;
    const match = parent[index] === true || (negated === matched && matchesOne(pattern, path));
    if (match) matched = !negated;
    return match;
  });
  return { matched, byPattern };
}

const name = fc.constantFrom('a', 'b', 'ab', '.a', 'a.c', 'é', '(a)');
const part = fc.constantFrom('a', 'b', '*', '**', '?', 'a*', '*b', '.*', 'a.c', '**b', 'a**', 'é', '(a)', '{a,b}');
const pattern = fc
  .tuple(fc.boolean(), fc.array(part, { minLength: 1, maxLength: 3 }))
  .map(([negated, parts]) => (negated ? '!' : '') + cleanPath(parts.join('/')))
  .filter((text) => patternProblem(text) === undefined);

test('a walk gives the answers Docker gives, whatever the patterns', () => {
  fc.assert(
    fc.property(
      fc.array(pattern, { minLength: 1, maxLength: 4 }),
      fc.array(name, { minLength: 1, maxLength: 4 }),
      (patterns, names) => {
        const set = new PatternSet(patterns);
        let state: PatternState = set.root;
        let parent: readonly boolean[] = [];
        let path = '';
        let mayChange = true;
        let above = false;
        for (const next of names) {
          path = path === '' ? next : `${path}/${next}`;
          const bytes = Buffer.from(next).toString('latin1');
          const answer = set.match(state, bytes);
          const expected = judge(patterns, path, parent);
          expect(answer, `${JSON.stringify(patterns)} on ${path}`).toEqual(expected);
          // What is pruned below an ignored folder is really ignored.
          if (!mayChange && above) expect(expected.matched).toBe(true);
          state = set.enter(state, bytes, answer);
          parent = expected.byPattern;
          above = expected.matched;
          mayChange = above && set.mayChangeBelow(state, 'exception');
          if (!above) mayChange = true;
        }
      },
    ),
    { numRuns: 3000 },
  );
});
