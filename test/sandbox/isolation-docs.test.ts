/** The tables of docs/isolation.md are what the tests know. UPDATE_DOCS=1 writes them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { imageDifferenceTable } from '../build/support/rung-differences.ts';
import { behaviourCount, differenceTable } from './support/difference-table.ts';

const path = new URL('../../docs/isolation.md', import.meta.url);

/** The page with the table that has the same head replaced by this one. */
function withTable(page: string, table: string): string {
  const start = page.indexOf(`\n${table.slice(0, table.indexOf('\n'))}\n`) + 1;
  expect(start, 'the page has no such table').toBeGreaterThan(0);
  const end = page.indexOf('\n\n', start);
  return page.slice(0, start) + table + (end < 0 ? '\n' : page.slice(end));
}

function hold(change: (page: string) => string): void {
  const page = readFileSync(path, 'utf8');
  const right = change(page);
  if (process.env.UPDATE_DOCS === '1') writeFileSync(path, right);
  else expect(page).toBe(right);
}

test('docs/isolation.md lists exactly the differences between rungs that the tests know', () => {
  hold((page) => withTable(page, differenceTable()));
});

test('docs/isolation.md says how many behaviours are tried on each rung', () => {
  hold((page) => page.replace(/\b\d+ behaviours of a step\b/, `${behaviourCount} behaviours of a step`));
  expect(readFileSync(path, 'utf8')).toContain(`${behaviourCount} behaviours of a step`);
  expect(behaviourCount).toBeGreaterThanOrEqual(60);
});

test('docs/isolation.md lists exactly the fixtures whose image differs on a rung', () => {
  hold((page) => withTable(page, imageDifferenceTable()));
});
