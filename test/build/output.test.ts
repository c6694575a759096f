/** What steps print is kept on disk, all of it, however much it is and whatever the display shows. */
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';

let work: BuildWorkspace;
beforeAll(() => {
  work = buildWorkspace('output');
});
afterAll(async () => await work[Symbol.asyncDispose]());

/** The newest build's logs. */
function logsOf(home: string): string[] {
  const builds = join(home, 'logs');
  const newest = readdirSync(builds).sort().at(-1) ?? 'none';
  return readdirSync(join(builds, newest))
    .sort()
    .map((name) => join(builds, newest, name));
}

test('megabytes without a line end, and 300,000 short lines, are printed and kept whole', async () => {
  const home = `${work.path}/home-much`;
  const context = work.context('much', {
    Dockerfile: `FROM base
RUN head -c 5000000 /dev/zero | tr '\\0' x
RUN yes 0123456789 | head -n 300000; echo end >&2
`,
  });
  const { stderr } = await work.build(context, [], { home });
  expect(stderr.match(/ 0123456789$/gm)?.length).toBe(300_000);
  // The display breaks lines nobody could read; it leaves nothing out.
  const printed = [...stderr.matchAll(/^#\d+ [\d.]+ (x+)$/gm)].map(([, text = '']) => text.length);
  expect(printed.reduce((sum, length) => sum + length, 0)).toBe(5_000_000);
  const [long, lines, ...more] = logsOf(home);
  expect(more).toEqual([]);
  expect(readFileSync(long ?? '', 'utf8') === 'x'.repeat(5_000_000)).toBe(true);
  // stderr is another pipe: its line may overtake the last ones of stdout, but nothing else may be there.
  const kept = readFileSync(lines ?? '', 'utf8');
  expect(kept).toContain('end\n');
  expect(kept.replace('end\n', '') === '0123456789\n'.repeat(300_000)).toBe(true);
});

test('bytes that are no text are kept as they are, readable for this user only', async () => {
  const home = `${work.path}/home-bytes`;
  await work.build(work.context('bytes', { Dockerfile: "FROM base\nRUN printf '\\377\\000\\033[31mred'\n" }), [], {
    home,
  });
  const [log = ''] = logsOf(home);
  expect(readFileSync(log)).toEqual(Buffer.from('\xff\0\x1b[31mred', 'latin1'));
  expect(statSync(log).mode & 0o077).toBe(0);
});

test('a step that fails after many lines is told where all of them are, whatever the display', async () => {
  const home = `${work.path}/home-failed`;
  const context = work.context('failed', { Dockerfile: 'FROM base\nRUN seq 100; exit 3\n' });
  const { stderr } = await work.tryBuild(context, [], { home });
  const [log = ''] = logsOf(home);
  expect(stderr).toContain(`all 100 lines it printed: ${log}`);
  expect(readFileSync(log, 'utf8').split('\n').length).toBe(101);
});

test('a build whose steps print nothing, or are cached, makes no log', async () => {
  const home = `${work.path}/home-silent`;
  const context = work.context('silent', { Dockerfile: 'FROM base\nRUN true\n' });
  await work.build(context, [], { home });
  expect(readdirSync(home)).not.toContain('logs');
});

test('logs of the last 20 builds are kept', async () => {
  const home = `${work.path}/home-many`;
  const context = work.context('many', { Dockerfile: 'FROM base\nRUN echo newest\n' });
  await work.build(context, [], { home });
  for (let year = 1970; year < 2000; year++) mkdirSync(join(home, 'logs', `${year}-01-01T000000.000Z-1`));
  await work.build(context, ['--no-cache'], { home });
  const kept = readdirSync(join(home, 'logs')).sort();
  expect([kept.length, kept[0]]).toEqual([20, '1982-01-01T000000.000Z-1']);
  expect(readFileSync(logsOf(home)[0] ?? '', 'utf8')).toBe('newest\n');
});
