import { describe, expect, test } from 'vitest';
import { isIgnored, parseIgnoreFile } from '../../../src/builder/context/index.ts';

const ignored = (lines: string, path: string): boolean => isIgnored(parseIgnoreFile(lines, '.dockerignore'), path);

describe('a pattern of .dockerignore', () => {
  // pattern, path, ignored: the documented behaviours of moby/patternmatcher.
  test.each([
    ['**', 'file', true],
    ['**', 'dir/file', true],
    ['**/', 'file', true],
    ['**/', 'dir/file', true],
    ['**/**', 'dir/file', true],
    ['dir/**', 'dir', false],
    ['dir/**', 'dir/file', true],
    ['dir/**', 'dir/a/b', true],
    ['dir/**', 'dirx', false],
    ['**/dir', 'dir', true],
    ['**/dir', 'a/b/dir', true],
    ['**/dir', 'a/b/dir/file', true],
    ['**/dir2/*', 'dir/dir2/file', true],
    ['**/dir2/*', 'dir/dir2/dir2/file', true],
    ['**/dir2/**', 'dir/dir2/dir2/file', true],
    ['**/file', 'xfile', false],
    ['**file', 'xfile', true],
    ['**file', 'a/xfile', true],
    ['**/file*txt', 'dir/file.txt', true],
    ['**/**/*.txt', 'dir/dir/file.txt', true],
    ['a**b', 'ab', true],
    ['a**b', 'a/x/b', true],
    ['a**/*.txt', 'a/file.txt', true],
    ['a**/*.txt', 'a/dir/dir/file.txt', true],
    ['a/*.txt', 'a/dir/file.txt', false],
    ['a/*.txt', 'a/file.txt', true],
    ['a/*.txt**', 'a/file.txt', true],
    ['a[b-d]e', 'ae', false],
    ['a[b-d]e', 'ace', true],
    ['a[^b-d]e', 'aze', true],
    ['a[^b-d]e', 'ace', false],
    ['a[!b]e', 'a!e', true],
    ['a[!b]e', 'aze', false],
    ['abc.def', 'abcdef', false],
    ['abc.def', 'abc.def', true],
    ['abc?def', 'abcZdef', true],
    ['abc?def', 'abcdef', false],
    ['a?c', 'a💡c', true],
    ['a\\*b', 'a*b', true],
    ['a\\*b', 'axb', false],
    ['a\\?', 'a?', true],
    ['**/foo/bar', 'foo/bar', true],
    ['**/foo/bar', 'dir/foo/bar', true],
    ['abc/**', 'abc/def/ghi', true],
    ['**/.foo', '.foo', true],
    ['**/.foo', 'bar.foo', false],
    ['*', '.hidden', true],
    ['*.*', 'a', false],
    ['{a,b}', 'a', false],
    ['{a,b}', '{a,b}', true],
    ['+(a)', 'a', false],
    ['a(b)c/def', 'a(b)c/def', true],
    ['a.|)$(}+{bc', 'a.|)$(}+{bc', true],
    [
      'dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl',
      'dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl',
      true,
    ],
    ['/abs/dir/', 'abs/dir/x', true],
    ['a/../b', 'b', true],
    ['./a', 'a', true],
    ['a//b', 'a/b', true],
    ['dir', 'dir/a/b', true],
    ['dir', 'a/dir', false],
    ['   spaced   ', 'spaced', true],
    ['# comment', '# comment', false],
    [' #no-comment', '#no-comment', true],
    ['é*', 'étude', true],
    ['.', 'file', false],
  ])('%j on %j: %j', (pattern, path, expected) => {
    expect(ignored(pattern, path)).toBe(expected);
  });
});

describe('the order of patterns', () => {
  test.each([
    ['*.md\n!README.md', 'README.md', false],
    ['*.md\n!README.md', 'x.md', true],
    ['!README.md\n*.md', 'README.md', true],
    ['*\n!src', 'src/a/b.c', false],
    ['*\n!src\nsrc/gen', 'src/gen/x', true],
    ['*\n!src\nsrc/gen\n!src/gen/keep', 'src/gen/keep', false],
    ['docs\n!docs/README.md', 'docs/README.md', false],
    ['docs\n!docs/README.md', 'docs/other', true],
    ['!docs/README.md\ndocs', 'docs/README.md', true],
    ['**\n!**/*.go', 'a/b/c.go', false],
    ['**\n!**/*.go', 'a/b/c.js', true],
    ['a\n! b', 'b', false],
    ['*\n!  /b', 'b', false],
    ['**/node_modules\n!app/node_modules/keep', 'app/node_modules/keep/x', false],
    ['\uFEFFa', 'a', true],
    ['a\r\nb\r\n', 'b', true],
    ['', 'a', false],
    ['*', '.', false],
    ['a', './a/', true],
  ])('%j on %j: %j', (lines, path, expected) => {
    expect(ignored(lines, path)).toBe(expected);
  });
});

describe('a pattern Docker refuses', () => {
  test.each(['[a', 'a\\', '[]a]', '[a-]', '[-a]', 'x/[', '!', '! ', '![', '[^]', 'a[b\\'])(
    '%j names its line',
    (bad) => {
      let failure: unknown;
      try {
        parseIgnoreFile(`ok\n# comment\n${bad}\n`, 'app.dockerignore');
      } catch (error) {
        failure = error;
      }
      expect(failure).toMatchObject({
        code: 'ignore-pattern-invalid',
        message: expect.stringContaining('app.dockerignore line 3'),
        source: { file: 'app.dockerignore', range: { start: { line: 3, column: 1 } } },
      });
    },
  );

  test.each(['a]', '[\\]]', '[]-a]'.slice(1), '[a-c-]'.replace('-]', ']'), '\\\\'])('%j is not one', (good) => {
    expect(() => parseIgnoreFile(good, '.dockerignore')).not.toThrow();
  });
});

test('a folder the rules ignore is entered only when an exception may match below it', () => {
  const { patterns } = parseIgnoreFile('*\n!src/*/keep\n!docs', '.dockerignore');
  const below = (path: string): boolean => {
    let state = patterns.root;
    for (const name of path.split('/')) state = patterns.enter(state, name, patterns.match(state, name));
    return patterns.mayChangeBelow(state, 'exception');
  };
  expect(below('node_modules')).toBe(false);
  expect(below('src')).toBe(true);
  expect(below('src/a')).toBe(true);
  expect(below('src/a/b')).toBe(false);
});
