import { cpSync, mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allBaseImages } from '../support/base-images.ts';
import { type BuildFixture, buildFixtures, prepareContext } from '../support/build-fixtures.ts';
import { caseArguments, imageDifferences, type Judge, startJudge } from '../support/build-judges.ts';
import { mustRun } from '../support/command.ts';
import { readOciLayout, writeDockerArchive } from '../support/image-files.ts';
import { requirement } from '../support/requirement.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { flatten } from '../support/tree-compare.ts';
import { startTrixie, type Trixie, trixieMissing } from '../support/trixie.ts';
import { mustTsbuild, tsbuild } from '../support/tsbuild.ts';

const missing = trixieMissing();
const everything = process.env.TSBUILD_JUDGE === 'trixie';
requirement('Docker of Debian trixie', missing);

/** What the older judge could not say, or says otherwise; TSBUILD_JUDGE=trixie asks for all. */
const judged = buildFixtures().filter(
  ({ build: { trixie: own, without, differs } }) =>
    own?.without === undefined && (everything || without?.docker !== undefined || differs?.docker !== undefined),
);

/** An answer without what BuildKit leaves to chance (the order within a line) and leaves out (columns). */
function comparable(answer: string): string {
  const lines = (location: { ranges: readonly { start: { line: number }; end: { line: number } }[] }) => [
    location.ranges[0]?.start.line,
    location.ranges.at(-1)?.end.line,
  ];
  const sorted = (value: unknown, key = ''): unknown => {
    if (Array.isArray(value)) return value.map((one) => sorted(one)).toSorted((a, b) => (text(a) < text(b) ? -1 : 1));
    if (typeof value !== 'object' || value === null) return value;
    if (key === 'location') return lines(value as Parameters<typeof lines>[0]);
    return Object.fromEntries(
      Object.entries(value)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, member]) => [name, sorted(member, name)]),
    );
  };
  const text = (value: unknown) => JSON.stringify(value);
  return text(sorted(JSON.parse(answer)));
}

describe.skipIf(missing !== undefined)('Docker of Debian trixie', () => {
  let folder: TemporaryFolder;
  let trixie: Trixie;
  let docker: Judge;

  beforeAll(async () => {
    folder = temporaryFolder('trixie-cases', 0o711);
    trixie = await startTrixie();
    docker = await startJudge('docker', trixie.enter);
    for (const image of allBaseImages()) {
      writeDockerArchive(folder.join('base.tar'), image);
      await mustTsbuild(['load', '-i', folder.join('base.tar')], { home: folder.join('home') });
    }
  }, 400_000);
  afterAll(async () => {
    await docker?.[Symbol.asyncDispose]();
    await trixie?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  test('is newer than that of this release, and sees the temporary folder where it is', async () => {
    const [program = '', ...enter] = trixie.enter;
    const release = await mustRun(program, [...enter, 'cat', '/etc/os-release']);
    expect(release.text).toContain('VERSION_CODENAME=trixie');
    expect((await mustRun(program, [...enter, 'dockerd', '--version'])).text).toMatch(/version (2[6-9]|[3-9]\d)\./);
    await mustRun(program, [...enter, 'test', '-e', folder.join('base.tar')]);
  });

  const cases = judged.map((fixture) => [fixture.name, fixture] as const);
  // Several at once: a build waits for its engine more than it works.
  test.concurrent.each(cases)('%s', { timeout: 300_000 }, async (_, fixture) => {
    // The client knows a context by the last part of its name, and takes files of the same size and time for the same.
    const context = folder.join(fixture.name, fixture.name);
    mkdirSync(folder.join(fixture.name));
    try {
      await prepareContext(fixture, context);
      const args = caseArguments(fixture, context);
      const [ours, theirs] = await Promise.all([
        buildOurs(fixture, context, args),
        docker.build(`case-${fixture.name}`, context, args),
      ]);
      expect(theirs.code === 0, `Docker 26 says ${theirs.code}, tsbuild ${ours.code}:\n${theirs.stderr}`).toBe(
        ours.code === 0,
      );
      if (ours.code !== 0) return;
      const image = readOciLayout(folder.join('home'), `docker.io/library/case-${fixture.name}:1`);
      const other = await docker.read(`case-${fixture.name}`);
      const differs = fixture.build.trixie?.differs ?? {};
      expect(imageDifferences(fixture, { image, tree: flatten(image) }, other, 'docker', differs)).toEqual([]);
    } finally {
      await rm(folder.join(fixture.name), { recursive: true, force: true });
    }
  });

  test.each([
    ['outline', []],
    ['outline', ['--target=compile']],
    ['outline', ['--target=RELEASE', '--build-arg', 'FLAGS=cli']],
    ['outline', ['--target=spaced']],
    ['outline', ['--target=other']],
    ['targets', []],
  ] as const)('answers the question for the %s as we do: %j', async (question, args) => {
    const context = folder.join('calls');
    cpSync(fileURLToPath(new URL('../../fixtures/calls', import.meta.url)), context, { recursive: true });
    const ours = await mustTsbuild(['build', `--call=${question},format=json`, ...args, context], {
      home: folder.join('home'),
    });
    const print = [`--print=${question},format=json`, ...args];
    const theirs = await docker.build('asked', context, print, { env: { BUILDX_EXPERIMENTAL: '1' } });
    expect(theirs.code, theirs.stderr).toBe(0);
    // BuildKit matches the description of a stage with its name in lower case, however it is written.
    const [mine, other] = [comparable(ours.text), comparable(theirs.text)];
    expect(mine.replaceAll(',"description":"the final thing"', '')).toBe(other);
  });

  function buildOurs({ name, build }: BuildFixture, context: string, args: readonly string[]) {
    const options = { home: folder.join('home'), cwd: context, ...(build.env && { env: build.env }) };
    const own = build.tsbuildArgs ?? [];
    return tsbuild(['build', '--progress', 'quiet', '-t', `case-${name}:1`, ...args, ...own, context], options);
  }
});
