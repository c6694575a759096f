/**
 * Word expansion: `$v`, `${v}` with all its modifiers, quotes and escapes, as BuildKit's shell lexer reads them.
 * Invariants: pure, linear in the word, never throws. A substitution is evaluated even where its result is not used
 * (`${set:-${unset}}` reports `unset`), as BuildKit does.
 * Differs from the newest BuildKit in one place: there, a word in progress is lost from the split when a `${v:-w}`
 * follows in it (`a${v:-b}` splits into `b`); here it stays whole.
 */
import { parsePattern, replacePattern, trimPrefix, trimSuffix } from './pattern.ts';
import { addSplit, addWhole, finishWord, newSplitter, type Splitter } from './splitter.ts';

export interface ExpandOptions {
  readonly escape: '\\' | '`';
  readonly lookup: (name: string) => string | undefined;
  /** Keep quotes in the result. */
  readonly rawQuotes?: boolean;
  /** Keep escape characters in the result. */
  readonly rawEscapes?: boolean;
  /** Quotes are ordinary characters: the body of a heredoc. */
  readonly ignoreQuotes?: boolean;
  /** Leave `$v` of an unset variable as written. */
  readonly keepUnset?: boolean;
}

export interface ExpandError {
  /** A sentence without a full stop. */
  readonly message: string;
  readonly hint: string;
  /** Offsets in the word, `end` exclusive. */
  readonly start: number;
  readonly end: number;
}

export interface Expansion {
  /** '' when there is an error. */
  readonly text: string;
  /** Variables that were looked up and found. */
  readonly used: ReadonlySet<string>;
  /** Variables that were looked up and not found. */
  readonly unset: ReadonlySet<string>;
  readonly error?: ExpandError;
}

export interface WordsExpansion {
  /** The words in order; quoted space does not split, an unquoted empty word is dropped. Empty with an error. */
  readonly words: readonly string[];
  /** Where each word began in the source. */
  readonly starts: readonly number[];
  readonly used: ReadonlySet<string>;
  readonly unset: ReadonlySet<string>;
  readonly error?: ExpandError;
}

/** One word: the result is one string, however many spaces a variable brings. */
export function expandWord(word: string, options: ExpandOptions): Expansion {
  // Most words have nothing to expand.
  if (!/[$'"\\`\ufeff]/.test(word)) return { text: word, used: none, unset: none };
  const lexer = newLexer(word, options);
  const outcome = readAll(lexer);
  return {
    text: outcome.error ? '' : outcome.text,
    used: lexer.used,
    unset: lexer.unset,
    ...(outcome.error && { error: outcome.error }),
  };
}

/** Several words: split on white space after substitution, so a variable with spaces gives several words. */
export function expandWords(text: string, options: ExpandOptions): WordsExpansion {
  const lexer = newLexer(text, options);
  const split = newSplitter();
  const { error } = readAll(lexer, split);
  finishWord(split);
  return {
    words: error ? [] : split.words,
    starts: error ? [] : split.starts,
    used: lexer.used,
    unset: lexer.unset,
    ...(error && { error }),
  };
}

const none: ReadonlySet<string> = new Set();

interface Lexer {
  readonly source: string;
  readonly options: ExpandOptions;
  readonly used: Set<string>;
  readonly unset: Set<string>;
  at: number;
  depth: number;
  /** UTF-16 code units that variables have brought. */
  grown: number;
}

/** Carries an ExpandError out of the recursion; never leaves this module. */
class Failure extends Error {
  readonly detail: ExpandError;
  constructor(detail: ExpandError) {
    super(detail.message);
    this.detail = detail;
  }
}

/** Deeper nesting than any person writes; keeps a hostile word from exhausting the stack. */
const maxDepth = 200;

/** UTF-16 code units: far above what a kernel takes as an argument; stops values that double themselves line by line. */
const maxGrowth = 16 * 1024 * 1024;

function newLexer(source: string, options: ExpandOptions): Lexer {
  return {
    source,
    options,
    used: new Set(),
    unset: new Set(),
    at: source.startsWith('\ufeff') ? 1 : 0,
    depth: 0,
    grown: 0,
  };
}

function readAll(lexer: Lexer, split?: Splitter): { text: string; error?: ExpandError } {
  try {
    return { text: readUntil(lexer, undefined, lexer.options.rawEscapes ?? false, split) };
  } catch (failure) {
    if (failure instanceof Failure) return { text: '', error: failure.detail };
    throw failure;
  }
}

function fail(lexer: Lexer, start: number, message: string, hint: string): never {
  const { length } = lexer.source;
  const from = Math.min(start, length);
  throw new Failure({ message, hint, start: from, end: Math.max(from, Math.min(lexer.at, length)) });
}

/** Reads to the unescaped, unquoted `stop`, which is consumed, or to the end of the source. */
function readUntil(lexer: Lexer, stop: string | undefined, rawEscapes: boolean, split?: Splitter): string {
  const { source, options } = lexer;
  const out: string[] = [];
  const begin = lexer.at;
  while (lexer.at < source.length) {
    const char = source.charAt(lexer.at);
    const from = lexer.at;
    if (char === stop) {
      lexer.at += 1;
      return out.join('');
    }
    if (char === '$') {
      const value = readDollar(lexer);
      out.push(value);
      if (split) addSplit(split, value, from, 0);
    } else if (!options.ignoreQuotes && (char === "'" || char === '"')) {
      const value = char === "'" ? readSingleQuoted(lexer) : readDoubleQuoted(lexer, rawEscapes);
      out.push(value);
      if (split) addWhole(split, value, from);
    } else if (char === '<') {
      const value = readHeredocMark(lexer);
      out.push(value);
      if (split) addWhole(split, value, from);
    } else if (char === options.escape) {
      lexer.at += 1;
      const escaped = nextCharacter(lexer);
      const value = rawEscapes ? char + escaped : escaped;
      out.push(value);
      if (split && value !== '') addWhole(split, value, from);
    } else {
      const plain = readPlain(lexer, stop);
      out.push(plain);
      if (split) addSplit(split, plain, from, 1);
    }
  }
  if (stop !== undefined) {
    fail(lexer, begin, `the substitution is not closed: '${stop}' is missing`, `Add the missing '${stop}'.`);
  }
  return out.join('');
}

/** A run of characters that mean nothing special. */
function readPlain(lexer: Lexer, stop: string | undefined): string {
  const { source, options } = lexer;
  const from = lexer.at;
  lexer.at += 1;
  while (lexer.at < source.length) {
    const char = source.charAt(lexer.at);
    if (char === stop || char === '$' || char === '<' || char === options.escape) break;
    if (!options.ignoreQuotes && (char === "'" || char === '"')) break;
    lexer.at += 1;
  }
  return source.slice(from, lexer.at);
}

/** `<` alone, or `<<` with the blanks behind it: a heredoc's name may stand apart and is still one word with its mark. */
function readHeredocMark(lexer: Lexer): string {
  const from = lexer.at;
  lexer.at += 1;
  if (lexer.source.charAt(lexer.at) !== '<') return '<';
  do lexer.at += 1;
  while (' \t\r'.includes(lexer.source.charAt(lexer.at) || 'x'));
  return lexer.source.slice(from, lexer.at);
}

function readSingleQuoted(lexer: Lexer): string {
  const from = lexer.at;
  const close = lexer.source.indexOf("'", from + 1);
  if (close < 0) {
    lexer.at = lexer.source.length;
    fail(lexer, from, 'a single quote is not closed', "Add the closing ', or write \\' for a literal quote.");
  }
  lexer.at = close + 1;
  return lexer.options.rawQuotes ? lexer.source.slice(from, close + 1) : lexer.source.slice(from + 1, close);
}

function readDoubleQuoted(lexer: Lexer, rawEscapes: boolean): string {
  const { source, options } = lexer;
  const from = lexer.at;
  const out: string[] = options.rawQuotes ? ['"'] : [];
  lexer.at += 1;
  for (;;) {
    const char = source.charAt(lexer.at);
    if (char === '')
      fail(lexer, from, 'a double quote is not closed', 'Add the closing ", or write \\" for a literal quote.');
    if (char === '"') {
      lexer.at += 1;
      if (options.rawQuotes) out.push('"');
      return out.join('');
    }
    if (char === '$') out.push(readDollar(lexer));
    else if (char === options.escape) {
      lexer.at += 1;
      if (rawEscapes) out.push(char);
      const next = source.charAt(lexer.at);
      if (next === '') continue;
      // Inside double quotes only these are escaped; before anything else the escape character stands for itself.
      if (next === '"' || next === '$' || next === options.escape) {
        lexer.at += 1;
        out.push(next);
      } else out.push(char);
    } else {
      const start = lexer.at;
      while (lexer.at < source.length) {
        const plain = source.charAt(lexer.at);
        if (plain === '"' || plain === '$' || plain === options.escape) break;
        lexer.at += 1;
      }
      out.push(source.slice(start, lexer.at));
    }
  }
}

function readDollar(lexer: Lexer): string {
  const from = lexer.at;
  lexer.at += 1;
  if (lexer.source.charAt(lexer.at) === '{') {
    lexer.depth += 1;
    if (lexer.depth > maxDepth) {
      fail(
        lexer,
        from,
        `substitutions are nested more than ${maxDepth} deep`,
        'Split the value over several ARG or ENV.',
      );
    }
    const value = readBraced(lexer, from);
    lexer.depth -= 1;
    return value;
  }
  const name = readName(lexer);
  if (name === '') return '$';
  const value = lookUp(lexer, name);
  if (value === undefined) return lexer.options.keepUnset ? `$${name}` : '';
  return value;
}

function readBraced(lexer: Lexer, from: number): string {
  const { source, options } = lexer;
  lexer.at += 1;
  const first = source.charAt(lexer.at);
  if (first === '') missingBrace(lexer, from);
  if (first === '{' || first === '}' || first === ':') {
    lexer.at += 1;
    fail(lexer, from, "'${' is not followed by a variable name", 'Write ${NAME}, or \\${ for the literal text.');
  }
  const name = readName(lexer);
  const modifier = nextCharacter(lexer);
  if (modifier === '') missingBrace(lexer, from);
  if (modifier === '}') {
    const value = lookUp(lexer, name);
    if (value === undefined) return options.keepUnset ? `\${${name}}` : '';
    return value;
  }
  if (modifier === '/') return readReplacement(lexer, from, name);
  const colon = modifier === ':';
  const operator = colon ? nextCharacter(lexer) : modifier;
  if (operator === '' && colon) missingBrace(lexer, from);
  const trims = operator === '#' || operator === '%';
  if (!(operator === '-' || operator === '+' || operator === '?' || (trims && !colon))) {
    const written = colon ? `:${operator}` : operator;
    fail(
      lexer,
      from,
      `'${written}' is not a modifier of a substitution`,
      'The modifiers are :- - :+ + :? ? # ## % %% / and //.',
    );
  }
  const word = readUntil(lexer, '}', trims);
  const value = lookUp(lexer, name);
  if (value === undefined && options.keepUnset) return `\${${name}${colon ? ':' : ''}${operator}${word}}`;
  const missing = value === undefined || (colon && value === '');
  switch (operator) {
    case '-':
      return missing ? word : value;
    case '+':
      return missing ? '' : word;
    case '?': {
      if (!missing) return value;
      const why = word !== '' ? word : `is not allowed to be ${value === undefined ? 'unset' : 'empty'}`;
      return fail(lexer, from, `${name}: ${why}`, `Give ${name} a value with ARG or ENV, or with --build-arg.`);
    }
    default:
      return trim(lexer, from, operator, word, value ?? '');
  }
}

function trim(lexer: Lexer, from: number, operator: string, word: string, value: string): string {
  const longest = word.startsWith(operator);
  const pattern = patternOf(lexer, from, longest ? word.slice(1) : word);
  return operator === '%' ? trimSuffix(value, pattern, longest) : trimPrefix(value, pattern, longest);
}

function readReplacement(lexer: Lexer, from: number, name: string): string {
  const all = lexer.source.charAt(lexer.at) === '/';
  if (all) lexer.at += 1;
  const pattern = readUntil(lexer, '/', true);
  const replacement = readUntil(lexer, '}', true);
  const value = lookUp(lexer, name);
  if (value === undefined && lexer.options.keepUnset) return `\${${name}/${pattern}/${replacement}}`;
  const parsed = patternOf(lexer, from, pattern);
  // At worst one replacement before every character; `$0` in it brings at most the value once more each.
  if (all && value !== undefined) grow(lexer, (value.length + 1) * replacement.length);
  return replacePattern(value ?? '', parsed, replacement, all);
}

function patternOf(lexer: Lexer, from: number, source: string) {
  const parsed = parsePattern(source);
  if (parsed.ok) return parsed.pattern;
  return fail(
    lexer,
    from,
    `'${parsed.escape}' in the pattern '${source}' escapes nothing`,
    'In a pattern a backslash stands only before * ? or another backslash.',
  );
}

function missingBrace(lexer: Lexer, from: number): never {
  return fail(lexer, from, "the substitution is not closed: '}' is missing", "Add the missing '}'.");
}

const name = /[@*#?\-$!]|\p{Nd}+|[\p{L}_][\p{L}\p{Nd}_]*/uy;

/** A name, a run of digits, one special parameter (`@ * # ? - $ !`), or ''. */
function readName(lexer: Lexer): string {
  name.lastIndex = lexer.at;
  const [found = ''] = name.exec(lexer.source) ?? [];
  lexer.at += found.length;
  return found;
}

function peekCharacter(lexer: Lexer): string {
  const point = lexer.source.codePointAt(lexer.at);
  return point === undefined ? '' : String.fromCodePoint(point);
}

function nextCharacter(lexer: Lexer): string {
  const char = peekCharacter(lexer);
  lexer.at += char.length;
  return char;
}

function lookUp(lexer: Lexer, name: string): string | undefined {
  const value = lexer.options.lookup(name);
  (value === undefined ? lexer.unset : lexer.used).add(name);
  grow(lexer, value?.length ?? 0);
  return value;
}

function grow(lexer: Lexer, by: number): void {
  lexer.grown += by;
  if (lexer.grown <= maxGrowth) return;
  fail(lexer, 0, 'the word grows beyond 16 MiB', 'Write the text to a file and read it where it is needed.');
}
