import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { imageDifferenceTable } from '../build/support/rung-differences.ts';
import { differenceTable } from './support/difference-table.ts';

const page = readFileSync(new URL('../../docs/isolation.md', import.meta.url), 'utf8');

test('docs/isolation.md lists exactly the differences between rungs that the tests know', () => {
  expect(page).toContain(`\n${differenceTable()}\n`);
});

test('docs/isolation.md lists exactly the fixtures whose image differs on a rung', () => {
  expect(page).toContain(`\n${imageDifferenceTable()}\n`);
});
