import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { differenceTable } from './support/difference-table.ts';

test('docs/isolation.md lists exactly the differences between rungs that the tests know', () => {
  const page = readFileSync(new URL('../../docs/isolation.md', import.meta.url), 'utf8');
  expect(page).toContain(`\n${differenceTable()}\n`);
});
