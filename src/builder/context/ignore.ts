/**
 * `.dockerignore`: the text of an ignore file as rules for a context, by Docker's rules (moby/patternmatcher's
 * ignorefile and the "dockerignore file" chapter of Docker's build documentation).
 * Invariant: rules never fail once parsed; what Docker refuses is refused here, with file and line.
 */
import { bytePathFromText, type SourceLocation, TsbuildError } from '../../core/index.ts';
import { cleanPath, PatternSet, patternProblem } from './pattern-set.ts';

export interface IgnoreRules {
  /** As the user knows it, e.g. `.dockerignore`. */
  readonly file: string;
  /** The patterns' texts, cleaned. */
  readonly texts: readonly string[];
  readonly patterns: PatternSet;
}

/** @throws TsbuildError `ignore-pattern-invalid` */
export function parseIgnoreFile(text: string, file: string): IgnoreRules {
  const patterns: string[] = [];
  const lines = text.replace(/^\uFEFF/, '').split('\n');
  for (const [index, line] of lines.entries()) {
    if (line.startsWith('#')) continue;
    const pattern = cleanLine(line);
    if (pattern === undefined) continue;
    const problem = patternProblem(pattern);
    if (problem !== undefined) {
      throw new TsbuildError({
        code: 'ignore-pattern-invalid',
        message: `${file} line ${index + 1}: the pattern ${JSON.stringify(line.trim())} is not valid: ${problem}`,
        hint: 'Write a backslash before a [, a ] or a \\ that stands for itself.',
        source: locationOf(text, file, index, line),
      });
    }
    patterns.push(pattern);
  }
  return { file, texts: patterns, patterns: new PatternSet(patterns) };
}

/** Whether the rules hide one path, given as text relative to the context; wildcards in it are plain characters. */
export function isIgnored({ patterns }: IgnoreRules, path: string): boolean {
  let state = patterns.root;
  let matched = false;
  for (const name of bytePathFromText(cleanPath(`/${path}`).slice(1)).split('/')) {
    if (name === '') return false;
    const answer = patterns.match(state, name);
    matched = answer.matched;
    state = patterns.enter(state, name, answer);
  }
  return matched;
}

/** White space trimmed, `!` set apart, the path cleaned, a leading slash taken off; undefined for an empty line. */
function cleanLine(line: string): string | undefined {
  const trimmed = line.trim();
  if (trimmed === '') return undefined;
  const negated = trimmed.startsWith('!');
  const body = negated ? trimmed.slice(1).trim() : trimmed;
  if (body === '') return '!';
  const cleaned = cleanPath(body);
  const relative = cleaned.length > 1 && cleaned.startsWith('/') ? cleaned.slice(1) : cleaned;
  return negated ? `!${relative}` : relative;
}

function locationOf(text: string, file: string, index: number, line: string): SourceLocation {
  const start = { line: index + 1, column: 1 };
  return { file, text, range: { start, end: { line: index + 1, column: line.length + 1 } } };
}
