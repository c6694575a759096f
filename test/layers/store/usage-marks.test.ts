import { statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openLayout } from '../../../src/layers/store/layout.ts';
import { Presence } from '../../../src/layers/store/presence.ts';
import { UsageMarks } from '../../../src/layers/store/usage-marks.ts';
import { temporaryFolder } from '../../support/store.ts';

test('a mark outlives that the same file is put there once more by whoever began to write it earlier', async () => {
  const layout = openLayout(join(temporaryFolder(), 'store'));
  const presence = new Presence(layout);
  const marks = new UsageMarks(layout, presence);
  const [path, draft] = [join(layout.blobs, 'sha256', 'ab'), presence.draft()];
  writeFileSync(path, 'same');
  expect(marks.use(path)).toBe(true);
  const marked = statSync(path).mtimeMs;
  writeFileSync(draft, 'same');
  utimesSync(draft, marked / 1000 - 60, marked / 1000 - 60);
  new UsageMarks(layout, presence).place(draft, path);
  expect(statSync(path).mtimeMs).toBeGreaterThanOrEqual(marked);
  await presence.leave();
});
