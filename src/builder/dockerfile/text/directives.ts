/**
 * Parser directives: `# syntax=`, `# escape=`, `# check=`, only on the very first lines. The first line that is not one
 * of them, even another comment or an empty line, ends them.
 */
import { nearest, suggestion } from '../../../core/index.ts';
import { ruleNames } from '../checks/rules.ts';
import { isSpace, skipSpace } from '../expand/white-space.ts';
import type { Report } from '../read/report.ts';
import type { Directives } from '../types.ts';

export interface DirectiveLines {
  readonly directives: Directives;
  /** Offsets of the lines that are directives. */
  readonly lines: ReadonlySet<number>;
}

type Check = NonNullable<Directives['check']>;

const names = ['syntax', 'escape', 'check'] as const;
type Name = (typeof names)[number];

/** Reads the directives from `from` on. */
export function readDirectives(text: string, from: number, byDefault: '\\' | '`', report: Report): DirectiveLines {
  const found = new Map<Name, string>();
  const lines = new Set<number>();
  let escapeCharacter = byDefault;
  let check: Check | undefined;
  let at = from;
  // `#!` may stand before syntax and check; the parser itself ends its directives there.
  const shebang = text.startsWith('#!', from);
  if (shebang) at = lineEnd(text, at).next;
  while (at < text.length) {
    const { end, next } = lineEnd(text, at);
    const directive = matchDirective(text, at, end);
    if (directive === undefined) {
      refuseMistyped(text, at, end, report);
      break;
    }
    const { name, value, valueAt } = directive;
    const valueEnd = valueAt + value.length;
    if (found.has(name)) {
      report.error(
        'dockerfile-directive',
        [directive.nameAt, valueEnd],
        `the directive '${name}' is given twice`,
        `Keep one '# ${name}=' line.`,
      );
      break;
    }
    found.set(name, value);
    if (!shebang) lines.add(at);
    if (name === 'escape' && !shebang) {
      if (value === '\\' || value === '`') escapeCharacter = value;
      else {
        report.error(
          'dockerfile-directive',
          [valueAt, valueEnd],
          `'${value}' cannot be the escape character`,
          'Write # escape=\\ or # escape=`.',
        );
      }
    }
    if (name === 'check') check = readCheck(value.split(' ', 1)[0] ?? '', valueAt, report);
    at = next;
  }
  const syntax = found.get('syntax')?.split(' ', 1)[0];
  return {
    directives: { ...(syntax !== undefined && { syntax }), escape: escapeCharacter, ...(check && { check }) },
    lines,
  };
}

/** A `check=…` comment above an instruction: only its `skip` and `experimental` count. Undefined: the comment is none. */
export function checkComment(comment: string): Check | undefined {
  const directive = matchDirective(`#${comment}`, 0, comment.length + 1);
  if (directive?.name !== 'check') return undefined;
  return readCheck(directive.value.split(' ', 1)[0] ?? '', 0, undefined);
}

function lineEnd(text: string, at: number): { end: number; next: number } {
  const feed = text.indexOf('\n', at);
  let end = feed < 0 ? text.length : feed;
  while (end > at && text.charCodeAt(end - 1) === 13) end -= 1;
  return { end, next: feed < 0 ? text.length : feed + 1 };
}

interface Match {
  readonly name: Name;
  readonly nameAt: number;
  readonly value: string;
  readonly valueAt: number;
}

function matchDirective(text: string, start: number, end: number): Match | undefined {
  const mark = skipSpace(text, start, end);
  if (mark >= end || text.charAt(mark) !== '#') return undefined;
  const nameAt = skipSpace(text, mark + 1, end);
  const equals = text.indexOf('=', nameAt);
  if (equals < 0 || equals >= end) return undefined;
  const name = text.slice(nameAt, equals).trimEnd().toLowerCase();
  const known = names.find((each) => each === name);
  if (known === undefined) return undefined;
  const valueAt = skipSpace(text, equals + 1, end);
  let valueEnd = end;
  while (valueEnd > valueAt && isSpace(text.charCodeAt(valueEnd - 1))) valueEnd -= 1;
  if (valueEnd <= valueAt) return undefined;
  return { name: known, nameAt, value: text.slice(valueAt, valueEnd), valueAt };
}

function readCheck(value: string, valueAt: number, report: Report | undefined): Check | undefined {
  const check = { skip: [] as string[], skipAll: false, error: false, experimental: [] as string[] };
  let at = valueAt;
  for (const option of value.split(';')) {
    const range: [number, number] = [at, at + option.length];
    at += option.length + 1;
    const equals = option.indexOf('=');
    const key = (equals < 0 ? option : option.slice(0, equals)).trim();
    const given = equals < 0 ? undefined : option.slice(equals + 1).trim();
    if (given === undefined || (key !== 'skip' && key !== 'error' && key !== 'experimental')) {
      const near = nearest(key, ['skip', 'error', 'experimental']);
      report?.error(
        'dockerfile-directive',
        range,
        `'${option}' is not an option of the check directive${suggestion(near)}`,
        'Write skip=<rules>, error=true or experimental=<rules>, separated by ;.',
      );
      if (report === undefined) return undefined;
      continue;
    }
    if (key === 'error') {
      const truth = goBool(given);
      if (truth === undefined) {
        report?.error(
          'dockerfile-directive',
          range,
          `'${given}' is not a value of error in the check directive${suggestion(nearest(given, ['true', 'false']))}`,
          'Write error=true or error=false.',
        );
      } else check.error = truth;
    } else if (key === 'skip' && given === 'all') check.skipAll = true;
    else {
      check[key] = given.split(',').map((rule) => rule.trim());
      refuseMistypedRules(check[key], range, report);
    }
  }
  return check;
}

/** A name that is no rule's, nor near one, may be that of a rule BuildKit gets later: it is let pass, as BuildKit does. */
function refuseMistypedRules(rules: readonly string[], range: [number, number], report: Report | undefined): void {
  const known: readonly string[] = [...ruleNames, 'all'];
  for (const rule of rules) {
    const near = known.includes(rule) ? undefined : nearest(rule, known);
    if (near === undefined) continue;
    report?.error(
      'dockerfile-directive',
      range,
      `there is no check '${rule}'${suggestion(near)}`,
      `Write ${near}; docs/checks has them all.`,
    );
  }
}

/** What only the value of a directive looks like. Any other comment of the form `name=value` is none of ours. */
const telling: Readonly<Record<Name, RegExp>> = {
  syntax: /^[^\s]*docker\/dockerfile[^\s]*$/,
  escape: /^[\\`]$/,
  check: /^(?:skip|error|experimental)=/,
};

/** A mistyped directive is a comment to BuildKit, and what it asked for is not done, without a word. */
function refuseMistyped(text: string, start: number, end: number, report: Report): void {
  const [line = '', before = '', written = '', between = '', value = ''] =
    /^(\s*#\s*)([a-z]+)(\s*=\s*)(.*)$/i.exec(text.slice(start, end).trimEnd()) ?? [];
  const near = line === '' ? undefined : names.find((name) => name === nearest(written, names));
  if (near === undefined || !telling[near].test(value)) return;
  const nameAt = start + before.length;
  report.error(
    'dockerfile-directive',
    [nameAt, nameAt + written.length],
    `'${written}' is not a directive${suggestion(near)}`,
    `Write # ${near}${between}${value}.`,
  );
}

/** The spellings Go's ParseBool takes. */
export function goBool(value: string): boolean | undefined {
  if (/^(1|t|T|true|TRUE|True)$/.test(value)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(value)) return false;
  return undefined;
}
