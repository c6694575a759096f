import { describe, expect, test } from 'vitest';
import { badPattern, compileName, expandGlob, hasMagic } from '../../../src/builder/context/index.ts';
import { memoryTree } from '../../support/copy-trees.ts';

describe("a name and a pattern, by Go's filepath.Match", () => {
  // pattern, name, match, Go answers ErrBadPattern: the table of Go's own documentation and behaviour.
  test.each([
    ['abc', 'abc', true],
    ['*', 'abc', true],
    ['*c', 'abc', true],
    ['a*', 'a', true],
    ['a*', 'abc', true],
    ['a*b*c*d*e*', 'axbxcxdxe', true],
    ['a*b?c*x', 'abxbbxdbxebxczzx', true],
    ['a*b?c*x', 'abxbbxdbxebxczzy', false],
    ['ab[c]', 'abc', true],
    ['ab[b-d]', 'abc', true],
    ['ab[e-g]', 'abc', false],
    ['ab[^c]', 'abc', false],
    ['ab[^b-d]', 'abc', false],
    ['ab[^e-g]', 'abc', true],
    ['a\\*b', 'a*b', true],
    ['a\\*b', 'ab', false],
    ['a?b', 'a☺b', true],
    ['a[^a]b', 'a☺b', true],
    ['a???b', 'a☺b', false],
    ['[a-ζ]*', 'α', true],
    ['*[a-ζ]', 'A', false],
    ['[\\]a]', ']', true],
    ['[\\-]', '-', true],
    ['[x\\-]', 'x', true],
    ['[x\\-]', '-', true],
    ['[x\\-]', 'z', false],
    ['[\\-x]', 'a', false],
    ['[c-a]', 'b', false],
    ['*x', 'xxx', true],
    ['**', 'abc', true],
    ['a**c', 'abc', true],
    ['.*', '.git', true],
    ['*', '.git', true],
    ['[!a]', '!', true],
    ['[!a]', 'b', false],
    ['{a,b}', 'a', false],
    ['@(a|b)', 'a', false],
    ['!a', 'b', false],
    ['[[]0', '[0', true],
  ])('%j on %j: %j', (pattern, name, expected) => {
    expect(badPattern(pattern)).toBeUndefined();
    expect(compileName(pattern)(name)).toBe(expected);
  });

  test.each(['[]a]', '[-]', '[x-]', '[-x]', '[a-b-c]', '[', '[^', '[^bc', 'a[', 'a\\', '[a-]'])(
    '%j is a bad pattern',
    (pattern) => {
      expect(badPattern(pattern)).toBeTypeOf('string');
    },
  );

  test.each([
    ['a', false],
    ['a\\*', false],
    ['a*', true],
    ['[', true],
    ['?', true],
  ])('%j has magic: %j', (text, expected) => {
    expect(hasMagic(text)).toBe(expected);
  });
});

describe('a source with wildcards', () => {
  const tree = memoryTree({
    'a/x.txt': {},
    'a/y.md': {},
    'a/deep/z.txt': {},
    'b/x.txt': {},
    '.hidden': {},
    link: { linkTarget: 'a' as never },
    'é.txt': {},
  });

  test.each([
    ['', ['']],
    ['a/x.txt', ['a/x.txt']],
    ['no/such', ['no/such']],
    ['*/x.txt', ['a/x.txt', 'b/x.txt']],
    ['a/*', ['a/deep', 'a/x.txt', 'a/y.md']],
    ['*', ['.hidden', 'a', 'b', 'link', '\u00c3\u00a9.txt']],
    ['a/*.none', []],
    ['**/z.txt', []],
    ['a/**/z.txt', ['a/deep/z.txt']],
    ['link/*.txt', ['a/x.txt']],
    ['l*/x.txt', []],
    ['?.txt', ['\u00c3\u00a9.txt']],
    ['none/*.txt', ['none']],
    ['a\\*', ['a\\*']],
  ])('%j gives %j', (pattern, expected) => {
    expect(expandGlob(tree, pattern)).toEqual(expected);
  });

  test('that is a bad pattern is an error', () => {
    expect(() => expandGlob(tree, 'a/[')).toThrow(expect.objectContaining({ code: 'copy-pattern-invalid' }));
  });
});
