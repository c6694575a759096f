import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { aliases, commandNames } from '../../src/cli/command-names.ts';

test('docs/cli.md names every command and every other name of one', () => {
  const text = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  const table = text.slice(text.indexOf('## Commands'), text.indexOf('## What is printed'));
  for (const name of commandNames) expect(table).toMatch(new RegExp(`\`tsbuild \\[?${name}\\b`));
  for (const name of Object.keys(aliases)) expect(table).toContain(`(\`${name}\`)`);
});
