import { describe, expect, test } from 'vitest';
import { type ExpandOptions, expandWord, expandWords } from '../../../src/builder/dockerfile/index.ts';

const values: Readonly<Record<string, string>> = {
  HOME: '/root',
  APP: 'demo',
  EMPTY: '',
  SPACED: 'one  two',
  EDGES: ' x y ',
  PATHS: '/usr/local/lib/libz.so.1.2',
  DOTS: 'a.b.c.d',
  STARS: 'a*b*c',
  LINES: 'one\ntwo\nthree',
  QUOTED: `it's "so"`,
  ÄÖ: 'umlaut',
  EMOJI: '🚀x🚀',
  A1: 'letter-digit',
  PATTERN: '*.',
  _u: 'under',
};

const options: ExpandOptions = {
  escape: '\\',
  lookup: (name) => (Object.hasOwn(values, name) ? values[name] : undefined),
};

/** The word, and its text; undefined: an error. */
type Case = readonly [word: string, text: string | undefined];

const plain: readonly Case[] = [
  ['', ''],
  ['word', 'word'],
  ['two words', 'two words'],
  ['a=b', 'a=b'],
  ['#x', '#x'],
  ['a<b', 'a<b'],
  ['a<<b', 'a<<b'],
  ['a<< b', 'a<< b'],
  ['\tx\t', '\tx\t'],
  ['日本語', '日本語'],
  ['🚀', '🚀'],
  ['{x}', '{x}'],
  ['}', '}'],
  ['`x`', '`x`'],
];

const quotes: readonly Case[] = [
  [`'single'`, 'single'],
  [`"double"`, 'double'],
  [`a'b'c`, 'abc'],
  [`a"b"c`, 'abc'],
  [`''`, ''],
  [`""`, ''],
  [`"a 'b' c"`, `a 'b' c`],
  [`'a "b" c'`, 'a "b" c'],
  [`'$HOME'`, '$HOME'],
  [`"$HOME"`, '/root'],
  [`"\${HOME}"`, '/root'],
  [`'\${HOME}'`, '${HOME}'],
  [`'a\\'`, 'a\\'],
  [`'a\\nb'`, 'a\\nb'],
  [`"a\\nb"`, 'a\\nb'],
  [`"a\\"b"`, 'a"b'],
  [`"a\\\\b"`, 'a\\b'],
  [`"a\\$HOME"`, 'a$HOME'],
  [`"\\'"`, "\\'"],
  [`'open`, undefined],
  [`"open`, undefined],
  [`a'`, undefined],
  [`a"`, undefined],
  [`"a\\"`, undefined],
  [`'a'b'`, undefined],
  [`"a"'b'"c"`, 'abc'],
  [`"$SPACED"`, 'one  two'],
  [`"$QUOTED"`, `it's "so"`],
  [`$QUOTED`, `it's "so"`],
];

const escapes: readonly Case[] = [
  ['a\\b', 'ab'],
  ['a\\\\b', 'a\\b'],
  ['a\\ b', 'a b'],
  ['\\$HOME', '$HOME'],
  ['\\\\$HOME', '\\/root'],
  ['\\${HOME}', '${HOME}'],
  ["\\'", "'"],
  ['\\"', '"'],
  ['a\\', 'a'],
  ['a\\\\', 'a\\'],
  ['\\', ''],
  ['\\🚀', '🚀'],
  ["\\''a b'", "'a b"],
  ['C:\\dir\\file', 'C:dirfile'],
];

const names: readonly Case[] = [
  ['$HOME', '/root'],
  ['${HOME}', '/root'],
  ['$HOME/x', '/root/x'],
  ['x$HOME', 'x/root'],
  ['$HOME$APP', '/rootdemo'],
  ['${HOME}${APP}', '/rootdemo'],
  ['$APP.txt', 'demo.txt'],
  ['$APP-1', 'demo-1'],
  ['$APP_1', ''],
  ['${APP}_1', 'demo_1'],
  ['$A1', 'letter-digit'],
  ['$_u', 'under'],
  ['$ÄÖ', 'umlaut'],
  ['${ÄÖ}', 'umlaut'],
  ['$EMPTY', ''],
  ['a${EMPTY}b', 'ab'],
  ['$NONE', ''],
  ['a$NONE', 'a'],
  ['${NONE}b', 'b'],
  ['$home', ''],
  ['$', '$'],
  ['a$', 'a$'],
  ['$ x', '$ x'],
  ['$.', '$.'],
  ['$/', '$/'],
  ['$"x"', '$x'],
  ['$1', ''],
  ['$12a', 'a'],
  ['${12}', ''],
  ['$0', ''],
  ['$$', ''],
  ['$$HOME', 'HOME'],
  ['$@x', 'x'],
  ['$*', ''],
  ['$#', ''],
  ['$?', ''],
  ['$-', ''],
  ['$!', ''],
  ['$!!', '!'],
  ['${@}', ''],
  ['${#}', ''],
  ['${?}', ''],
  ['${HOME', undefined],
  ['${', undefined],
  ['${}', undefined],
  ['${ HOME}', undefined],
  ['${HOME }', undefined],
  ['${{HOME}}', undefined],
  ['${:x}', undefined],
  ['${.}', undefined],
  ['${HOME.x}', undefined],
  ['${HOME!}', undefined],
  ['${HOME=x}', undefined],
  ['${HOME:=x}', undefined],
  ['${HOME:x}', undefined],
  ['${HOME:}', undefined],
  ['${HOME:', undefined],
  ['${HOME^}', undefined],
  ['${HOME,,}', undefined],
  ['${HOME@Q}', undefined],
  ['${#HOME}', undefined],
];

const defaults: readonly Case[] = [
  ['${NONE:-x}', 'x'],
  ['${NONE-x}', 'x'],
  ['${EMPTY:-x}', 'x'],
  ['${EMPTY-x}', ''],
  ['${APP:-x}', 'demo'],
  ['${APP-x}', 'demo'],
  ['${NONE:-}', ''],
  ['${NONE:-a b}', 'a b'],
  ['${NONE:-"a b"}', 'a b'],
  [`\${NONE:-'$HOME'}`, '$HOME'],
  ['${NONE:-$HOME}', '/root'],
  ['${NONE:-${HOME}}', '/root'],
  ['${NONE:-${NADA:-y}}', 'y'],
  ['${NONE:-${NADA:-${APP}}}', 'demo'],
  ['${NONE:-a}}', 'a}'],
  ['${NONE:-{a}', '{a'],
  ['${NONE:-a\\}b}', 'a}b'],
  ['${NONE:-\\$HOME}', '$HOME'],
  ['${NONE:-a:b}', 'a:b'],
  ['${NONE:--}', '-'],
  ['${NONE:-x', undefined],
  ['${NONE:-${HOME}', undefined],
  ["${NONE:-'}", undefined],
  ['${APP:-${}', undefined],
  ['${1:-x}', 'x'],
  ['${@:-x}', 'x'],
  ['${-:-x}', 'x'],
  ['${APP:+x}', 'x'],
  ['${APP+x}', 'x'],
  ['${EMPTY:+x}', ''],
  ['${EMPTY+x}', 'x'],
  ['${NONE:+x}', ''],
  ['${NONE+x}', ''],
  ['${APP:+-$APP}', '-demo'],
  ['${APP:+${HOME}/}x', '/root/x'],
  ['${NONE:+${NADA?}}', undefined],
  ['a${APP:+ }b', 'a b'],
  ['"${NONE:-a b}"', 'a b'],
  ['"${NONE:-"a b"}"', 'a b'],
  ['${APP:?no}', 'demo'],
  ['${APP?no}', 'demo'],
  ['${EMPTY?no}', ''],
  ['${EMPTY:?no}', undefined],
  ['${NONE?}', undefined],
  ['${NONE:?}', undefined],
  ['${NONE:?say $APP}', undefined],
];

const trims: readonly Case[] = [
  ['${PATHS#*/}', 'usr/local/lib/libz.so.1.2'],
  ['${PATHS##*/}', 'libz.so.1.2'],
  ['${PATHS%/*}', '/usr/local/lib'],
  ['${PATHS%%/*}', ''],
  ['${PATHS%.*}', '/usr/local/lib/libz.so.1'],
  ['${PATHS%%.*}', '/usr/local/lib/libz'],
  ['${DOTS#a}', '.b.c.d'],
  ['${DOTS#b}', 'a.b.c.d'],
  ['${DOTS#*.}', 'b.c.d'],
  ['${DOTS##*.}', 'd'],
  ['${DOTS%.*}', 'a.b.c'],
  ['${DOTS%%.*}', 'a'],
  ['${DOTS#?}', '.b.c.d'],
  ['${DOTS#???}', '.c.d'],
  ['${DOTS%?}', 'a.b.c.'],
  ['${DOTS%??}', 'a.b.c'],
  ['${DOTS#*}', 'a.b.c.d'],
  ['${DOTS##*}', ''],
  ['${DOTS%*}', 'a.b.c.d'],
  ['${DOTS%%*}', ''],
  ['${DOTS#}', 'a.b.c.d'],
  ['${DOTS##}', 'a.b.c.d'],
  ['${DOTS%}', 'a.b.c.d'],
  ['${DOTS#*.*.}', 'c.d'],
  ['${DOTS##*.*.}', 'd'],
  ['${DOTS%.*.*}', 'a.b'],
  ['${DOTS#*.?}', '.c.d'],
  ['${DOTS#.}', 'a.b.c.d'],
  ['${DOTS#$PATTERN}', 'b.c.d'],
  ['${DOTS##$PATTERN}', 'd'],
  ['${DOTS#"*."}', 'b.c.d'],
  ['${STARS#*\\*}', 'b*c'],
  ['${STARS##*\\*}', 'c'],
  ['${STARS%\\**}', 'a*b'],
  ['${STARS%%\\**}', 'a'],
  ['${STARS#a\\?}', 'a*b*c'],
  ['${STARS#\\a}', undefined],
  ['${STARS#\\}', undefined],
  ['${STARS#\\}}', 'a*b*c'],
  ['${STARS:#a}', undefined],
  ['${STARS:%c}', undefined],
  ['${NONE#x}', ''],
  ['${EMPTY%x}', ''],
  ['${LINES#*e}', '\ntwo\nthree'],
  ['${LINES##*e}', '\ntwo\nthree'],
  ['${LINES%e*}', 'one\ntwo\nthre'],
  ['${LINES%%e*}', 'one\ntwo\nthr'],
  ['${LINES#*three}', 'one\ntwo\nthree'],
  ['${EMOJI#?}', 'x🚀'],
  ['${EMOJI%?}', '🚀x'],
  ['${EMOJI#🚀}', 'x🚀'],
  ['${APP#[a-z]}', 'demo'],
  ['${APP#(d|e)}', 'demo'],
  ['${APP#d', undefined],
];

const replacements: readonly Case[] = [
  ['${DOTS/./-}', 'a-b.c.d'],
  ['${DOTS//./-}', 'a-b-c-d'],
  ['${DOTS//.}', undefined],
  ['${DOTS//./}', 'abcd'],
  ['${DOTS/b/}', 'a..c.d'],
  ['${DOTS/x/y}', 'a.b.c.d'],
  ['${DOTS/.*/}', 'a'],
  ['${DOTS/b*c/X}', 'a.X.d'],
  ['${DOTS//?/x}', 'xxxxxxx'],
  ['${DOTS//*/x}', 'x'],
  ['${DOTS/*/x}', 'x'],
  ['${DOTS/?./x}', 'xb.c.d'],
  ['${DOTS//?./x}', 'xxxd'],
  ['${PATHS//\\//:}', ':usr:local:lib:libz.so.1.2'],
  ['${PATHS/\\/usr/\\/opt}', '\\/opt/local/lib/libz.so.1.2'],
  ['${STARS//\\*/+}', 'a+b+c'],
  ['${DOTS/$NONE/x}', 'xa.b.c.d'],
  ['${APP//$NONE/-}', '-d-e-m-o-'],
  ['${APP/m/$HOME}', 'de/rooto'],
  ['${APP/m/[$0]}', 'de[]o'],
  ['${APP//m/[\\$0]}', 'de[\\m]o'],
  ['${APP//m/\\${0}}', 'de\\${0o}'],
  ['${EMOJI//🚀/r}', 'rxr'],
  ['${LINES//e*/E}', 'onE\ntwo\nthrE'],
  ['${NONE/a/b}', ''],
  ['${NONE//$NADA/b}', 'b'],
  ['${DOTS/a}', undefined],
  ['${DOTS/a/b', undefined],
  ['${DOTS/\\a/b}', undefined],
  ['${DOTS///}', 'a.b.c.d'],
  ['${APP///x}', 'xdxexmxox'],
];

describe.each([
  ['plain text', plain],
  ['quotes', quotes],
  ['escapes', escapes],
  ['names', names],
  ['defaults and conditions', defaults],
  ['trims', trims],
  ['replacements', replacements],
])('expansion of %s', (_, cases) => {
  test.for(cases)('%j', ([word, text]) => {
    const result = expandWord(word, options);
    expect(result.error === undefined ? result.text : undefined).toBe(text);
  });
});

test('the table has at least 200 cases', () => {
  const groups = [plain, quotes, escapes, names, defaults, trims, replacements];
  expect(groups.flat().length).toBeGreaterThanOrEqual(200);
});

describe('word splitting', () => {
  test.for<[string, string[] | undefined]>([
    ['', []],
    ['a b', ['a', 'b']],
    ['  a \t b  ', ['a', 'b']],
    ['"a b" c', ['a b', 'c']],
    ["a' 'b", ['a b']],
    ['a\\ b c', ['a b', 'c']],
    ['$SPACED', ['one', 'two']],
    ['"$SPACED"', ['one  two']],
    ['x$SPACED', ['xone', 'two']],
    ['${SPACED}y', ['one', 'twoy']],
    ['x${EDGES}y', ['x', 'x', 'y', 'y']],
    ['x"$EDGES"y', ['x x y y']],
    ['"" a', ['a']],
    ['$EMPTY', []],
    ['$EMPTY$NONE x', ['x']],
    ['a${NONE:-b c}d', ['ab', 'cd']],
    ['<< EOF', ['<< EOF']],
    ['x << EOF y', ['x', '<< EOF', 'y']],
    ['"open', undefined],
  ])('%j', ([text, words]) => {
    const result = expandWords(text, options);
    expect(result.error === undefined ? result.words : undefined).toEqual(words);
  });

  test('each word knows where it began', () => {
    expect(expandWords('ab "c d"  $SPACED', options).starts).toEqual([0, 3, 10, 10]);
  });
});

describe('expansion', () => {
  test('tells which variables were used and which are not set', () => {
    const { used, unset } = expandWord('$HOME ${NONE:-$APP} ${APP+$NADA} \\$NOT', options);
    expect([...used]).toEqual(['HOME', 'APP']);
    expect([...unset].toSorted()).toEqual(['NADA', 'NONE']);
  });

  test('says what is wrong, where, and what to write', () => {
    expect(expandWord('a ${NONE:?say $APP} b', options).error).toEqual({
      message: 'NONE: say demo',
      hint: 'Give NONE a value with ARG or ENV, or with --build-arg.',
      start: 2,
      end: 19,
    });
    expect(expandWord('ab${APP', options).error).toMatchObject({ start: 2, end: 7 });
    expect(expandWord('${EMPTY:?}', options).error?.message).toBe('EMPTY: is not allowed to be empty');
    expect(expandWord('${NONE?}', options).error?.message).toBe('NONE: is not allowed to be unset');
  });

  test('takes the backtick as escape character', () => {
    const backtick: ExpandOptions = { ...options, escape: '`' };
    expect(expandWord('C:\\dir\\$APP', backtick).text).toBe('C:\\dir\\demo');
    expect(expandWord('`$APP "`"" a` b', backtick).text).toBe('$APP " a b');
  });

  test('keeps quotes, escapes and unset variables when asked', () => {
    expect(expandWord(`"a" 'b'`, { ...options, rawQuotes: true }).text).toBe(`"a" 'b'`);
    expect(expandWord('a\\ b "\\$"', { ...options, rawEscapes: true }).text).toBe('a\\ b \\$');
    expect(expandWord('$NONE ${NONE} ${NONE:-x} $APP', { ...options, keepUnset: true }).text).toBe(
      '$NONE ${NONE} ${NONE:-x} demo',
    );
  });

  test('leaves quotes alone in the body of a heredoc', () => {
    const body = `it's "$APP"\n\\$APP 'x'\n`;
    expect(expandWord(body, { ...options, ignoreQuotes: true }).text).toBe(`it's "demo"\n$APP 'x'\n`);
  });

  test('refuses nesting without end instead of exhausting the stack', () => {
    const deep = `${'${A:-'.repeat(100_000)}${'}'.repeat(100_000)}`;
    expect(expandWord(deep, options).error?.message).toContain('nested');
  });

  test('refuses to grow without end', () => {
    const large = 'x'.repeat(1024 * 1024);
    const result = expandWord('$L'.repeat(40), { ...options, lookup: () => large });
    expect(result.error?.message).toContain('16 MiB');
  });

  test('matches hostile patterns in linear time', () => {
    const value = 'a'.repeat(5000);
    const lookup = () => value;
    expect(expandWord(`\${V%${'*a'.repeat(30)}b}`, { ...options, lookup }).text).toBe(value);
    expect(expandWord(`\${V//${'a*'.repeat(30)}b/x}`, { ...options, lookup }).text).toBe(value);
  });
});
