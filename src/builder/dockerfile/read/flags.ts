/**
 * `--name=value` between the keyword and the arguments. Our own code: dockerfile-ast splits a quoted value at its
 * spaces, does not know that `--` ends the flags, and finds no flags on half of the instructions.
 */
import { type ErrorCode, nearest, type Range, suggestion } from '../../../core/index.ts';
import { isSpace, skipSpace } from '../expand/white-space.ts';
import type { Report } from './report.ts';
import type { Piece } from './words.ts';

export interface FlagSplit {
  /** Quotes and escapes taken off; each begins with `--`. */
  readonly flags: readonly Piece[];
  /** Offset of the first argument, or of the end of the line. */
  readonly rest: number;
}

/** Cuts the flags off the front of the arguments; a lone `--` ends them and is dropped. */
export function splitFlags(line: string, from: number, to: number, escapeCharacter: string): FlagSplit {
  const flags: Piece[] = [];
  let at = from;
  for (;;) {
    at = Math.min(skipSpace(line, at), to);
    if (at >= to || !line.startsWith('--', at)) return { flags, rest: at };
    const plain = plainWordEnd(line, at, to, escapeCharacter);
    if (plain !== undefined && plain > at + 2) {
      flags.push({ text: line.slice(at, plain), start: at, end: plain });
      at = plain;
      continue;
    }
    const start = at;
    const parts: string[] = [];
    let quote = '';
    while (at < to) {
      const char = line.charAt(at);
      if (quote === '' && isSpace(line.charCodeAt(at))) break;
      if (char === escapeCharacter) {
        if (at + 1 < to) parts.push(line.charAt(at + 1));
        else quote = '';
        at += 2;
      } else {
        if (quote === '' && (char === '"' || char === "'")) quote = char;
        else if (char === quote) quote = '';
        else parts.push(char);
        at += 1;
      }
    }
    at = Math.min(at, to);
    const text = parts.join('');
    if (text === '--') return { flags, rest: Math.min(skipSpace(line, at), to) };
    if (text !== '') flags.push({ text, start, end: at });
  }
}

/** Where a word without quotes and escapes ends; undefined when it has some. Nearly every flag is one. */
function plainWordEnd(line: string, from: number, to: number, escapeCharacter: string): number | undefined {
  const escapeCode = escapeCharacter.charCodeAt(0);
  for (let at = from; at < to; at += 1) {
    const code = line.charCodeAt(at);
    if (isSpace(code)) return at;
    if (code === 34 || code === 39 || code === escapeCode) return undefined;
  }
  return to;
}

export type FlagKind = 'boolean' | 'string' | 'strings';

export interface FlagValue {
  readonly value: string;
  /** Of the value alone. */
  readonly range: Range;
  /** Offset of the value in the logical line; undefined when quotes or escapes were taken off it. */
  readonly at?: number;
  /** Of the whole flag. */
  readonly flag: Range;
}

export interface FlagValues {
  readonly one: (name: string) => FlagValue | undefined;
  readonly all: (name: string) => readonly FlagValue[];
  /** Undefined: not given. */
  readonly truth: (name: string) => boolean | undefined;
}

const truths = ['true', 'false'];

const noFlags: FlagValues = { one: () => undefined, all: () => [], truth: () => undefined };

const code: ErrorCode = 'dockerfile-flag';

/**
 * Checks flags against what the instruction takes. Wrong ones are reported and left out.
 * @param range of offsets in the logical line
 */
export function readFlags(
  keyword: string,
  flags: readonly Piece[],
  known: Readonly<Record<string, FlagKind>>,
  range: (start: number, end: number) => Range,
  report: Report,
): FlagValues {
  if (flags.length === 0) return noFlags;
  const values = new Map<string, FlagValue[]>();
  for (const piece of flags) {
    const equals = piece.text.indexOf('=');
    const name = equals < 0 ? piece.text.slice(2) : piece.text.slice(2, equals);
    const whole = range(piece.start, piece.end);
    const kind = Object.hasOwn(known, name) ? known[name] : undefined;
    if (kind === undefined) {
      unknownFlag(keyword, name, Object.keys(known), whole, report);
      continue;
    }
    const earlier = values.get(name) ?? [];
    if (earlier.length > 0 && kind !== 'strings') {
      report.error(code, whole, `${keyword} has the flag --${name} twice`, `Keep one --${name}.`);
      continue;
    }
    const value = equals < 0 ? undefined : piece.text.slice(equals + 1);
    if (value === undefined ? kind !== 'boolean' : kind === 'boolean' && value === '') {
      report.error(code, whole, `--${name} has no value`, missingHint(name, kind));
      continue;
    }
    if (kind === 'boolean' && value !== undefined && !/^(true|false)$/i.test(value)) {
      const meant = suggestion(nearest(value, truths));
      const problem = `--${name} is true or false, not '${value}'${meant}`;
      report.error(code, whole, problem, `Write --${name} or --${name}=false.`);
      continue;
    }
    // Quotes shift the value inside the flag; the range of the value then begins at the flag's `=` all the same.
    const valueAt = Math.min(piece.end, piece.start + (equals < 0 ? 0 : equals + 1));
    const isPlain = piece.end - piece.start === piece.text.length;
    earlier.push({
      value: value ?? 'true',
      range: range(valueAt, piece.end),
      ...(isPlain && { at: valueAt }),
      flag: whole,
    });
    values.set(name, earlier);
  }
  return {
    one: (name) => values.get(name)?.[0],
    all: (name) => values.get(name) ?? [],
    truth: (name) => {
      const given = values.get(name)?.[0];
      return given === undefined ? undefined : given.value.toLowerCase() === 'true';
    },
  };
}

function missingHint(name: string, kind: FlagKind): string {
  if (kind === 'boolean') return `Write --${name} or --${name}=false.`;
  return `Write --${name}=<value>, with = and no blank.`;
}

/** Flags people give to the wrong instruction. */
const elsewhere: Readonly<Record<string, string>> = {
  from: 'COPY',
  parents: 'COPY',
  checksum: 'ADD',
  unpack: 'ADD',
  'keep-git-dir': 'ADD',
  mount: 'RUN',
  network: 'RUN',
  security: 'RUN',
  platform: 'FROM',
};

function unknownFlag(keyword: string, name: string, known: readonly string[], whole: Range, report: Report): void {
  const near = nearest(name, known);
  const owner = Object.hasOwn(elsewhere, name) ? elsewhere[name] : undefined;
  const list = known.map((each) => `--${each}`).join(', ');
  const isCommand = keyword === 'RUN' || keyword === 'CMD' || keyword === 'ENTRYPOINT';
  let hint = known.length === 0 ? `Remove it: ${keyword} takes no flags.` : `The flags of ${keyword} are ${list}.`;
  if (isCommand) hint = `Write ${keyword} -- --${name} if it belongs to the command.`;
  if (near !== undefined) hint = `Write --${near}.`;
  else if (owner !== undefined && owner !== keyword) hint = `--${name} belongs to ${owner}.`;
  report.error(code, whole, `${keyword} has no flag --${name}${suggestion(near && `--${near}`)}`, hint);
}
