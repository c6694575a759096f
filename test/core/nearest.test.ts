import { expect, test } from 'vitest';
import { nearest } from '../../src/core/index.ts';

test.each([
  ['psuh', ['pull', 'push', 'prune'], 'push'],
  ['FORM', ['FROM', 'RUN', 'ARG'], 'FROM'],
  ['ENTYRPOINT', ['ENTRYPOINT', 'EXPOSE'], 'ENTRYPOINT'],
  ['readme.md', ['LICENSE', 'README.md'], 'README.md'],
  ['R', ['RUN'], undefined],
  ['x', ['y'], undefined],
  ['pull', ['tree', 'store'], undefined],
])('of what could be meant by %j among %j the nearest is %j', (name, candidates, expected) => {
  expect(nearest(name, candidates)).toBe(expected);
});

test('a swap of neighbours is one mistake, as a letter too few, too many or wrong is', () => {
  for (const name of ['lsit', 'lst', 'lisst', 'lizt']) expect(nearest(name, ['list'])).toBe('list');
  expect(nearest('lzsz', ['list'])).toBeUndefined();
});
