import { mkdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allBaseImages } from '../support/base-images.ts';
import { type BuildFixture, buildFixtures, type JudgeName, prepareContext } from '../support/build-fixtures.ts';
import { caseArguments, imageDifferences, type Judge, startJudge } from '../support/build-judges.ts';
import { buildahMissing } from '../support/buildah.ts';
import type { Finished } from '../support/command.ts';
import { dockerdMissing } from '../support/dockerd.ts';
import { expectationDifferences } from '../support/expected-image.ts';
import { type ReadImage, readOciLayout, writeDockerArchive } from '../support/image-files.ts';
import { requirement } from '../support/requirement.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { flatten } from '../support/tree-compare.ts';
import { mustTsbuild, tsbuild } from '../support/tsbuild.ts';

const fixtures = buildFixtures();
const missing: Readonly<Record<JudgeName, string | undefined>> = {
  docker: dockerdMissing(),
  buildah: await buildahMissing(),
};
const judgeNames: readonly JudgeName[] = ['docker', 'buildah'];
const judges = new Map<JudgeName, Judge>();
let folder: TemporaryFolder;

beforeAll(async () => {
  folder = temporaryFolder('fixtures', 0o711);
  for (const image of allBaseImages()) {
    writeDockerArchive(folder.join('base.tar'), image);
    await mustTsbuild(['load', '-i', folder.join('base.tar')], { home: folder.join('home') });
  }
  for (const name of judgeNames) {
    if (missing[name] === undefined) judges.set(name, await startJudge(name));
  }
}, 60_000);

afterAll(async () => {
  for (const judge of judges.values()) await judge[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

function build(fixture: BuildFixture, context: string, progress: 'plain' | 'quiet'): Promise<Finished> {
  return tsbuild(
    [
      ...['build', '--progress', progress, '-t', `case-${fixture.name}:1`],
      ...caseArguments(fixture, context),
      ...(fixture.build.tsbuildArgs ?? []),
      context,
    ],
    { home: folder.join('home'), cwd: context, ...(fixture.build.env && { env: fixture.build.env }) },
  );
}

async function withContext(fixture: BuildFixture, use: (context: string) => Promise<void>): Promise<void> {
  const parent = folder.join(fixture.name);
  mkdirSync(parent);
  try {
    await prepareContext(fixture, `${parent}/context`);
    await use(`${parent}/context`);
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
}

/** TSBUILD_JUDGE=all: every judge of every fixture. Else the slower one sees what only it can judge, and a third of the rest. */
function judgesOf({ name: fixture, build: { without } }: BuildFixture): readonly JudgeName[] {
  const able = judgeNames.filter((name) => judges.has(name) && without?.[name] === undefined);
  const both = able.length === 1 || process.env.TSBUILD_JUDGE === 'all' || Number.parseInt(fixture, 10) % 3 === 0;
  return both ? able : able.filter((name) => name !== 'buildah');
}

/** What the judges that can say build from the context, all at once: they wait more than they work. */
async function verdicts(fixture: BuildFixture, context: string): Promise<readonly Verdict[]> {
  const asked = judgesOf(fixture);
  return await Promise.all(
    asked.map(async (name) => {
      const judge = judges.get(name);
      if (judge === undefined) throw new Error(`${name} was not started`);
      const finished = await judge.build(`case-${fixture.name}`, context, caseArguments(fixture, context));
      const built = finished.code === 0 && fixture.stderr === undefined;
      return { name, finished, ...(built && { image: await judge.read(`case-${fixture.name}`) }) };
    }),
  );
}

interface Verdict {
  readonly name: JudgeName;
  readonly finished: Finished;
  readonly image?: ReadImage;
}

describe('a Dockerfile builds to the image other builders make', () => {
  const buildable = fixtures.filter(({ stderr }) => stderr === undefined);
  test.each(buildable.map((fixture) => [fixture.name, fixture] as const))('%s', async (_, fixture) => {
    await withContext(fixture, async (context) => {
      const [finished, judged] = await Promise.all([build(fixture, context, 'plain'), verdicts(fixture, context)]);
      expect(finished.code, finished.stderr).toBe(0);
      const image = readOciLayout(folder.join('home'), `docker.io/library/case-${fixture.name}:1`);
      const ours = { image, tree: flatten(image) };
      expect(expectationDifferences(fixture, ours, finished.stderr)).toEqual([]);
      for (const { name, finished: theirs, image: other } of judged) {
        expect(theirs.code, `${name} refuses what tsbuild builds:\n${theirs.stderr}${theirs.text}`).toBe(0);
        expect(other && imageDifferences(fixture, ours, other, name)).toEqual([]);
      }
    });
  });

  test('and each case has a judge or says what is right and why', () => {
    const unjudged = buildable.filter(
      ({ build: { without = {} }, expected }) => judgeNames.every((name) => without[name]) && !expected?.why,
    );
    expect(unjudged.map(({ name }) => name)).toEqual([]);
    expect(buildable.filter(({ build: { without = {} } }) => !without.buildah).length).toBeGreaterThanOrEqual(30);
  });

  for (const name of judgeNames) requirement(name, missing[name]);
});

describe('a Dockerfile with a mistake is refused with a message that shows it', () => {
  const faulty = fixtures.filter(({ stderr }) => stderr !== undefined);
  test.each(faulty.map((fixture) => [fixture.name, fixture] as const))('%s', async (_, fixture) => {
    await withContext(fixture, async (context) => {
      const [finished, judged] = await Promise.all([build(fixture, context, 'quiet'), verdicts(fixture, context)]);
      // To pin a message anew, read it first: UPDATE_FIXTURES=1 writes what was printed.
      if (process.env.UPDATE_FIXTURES === '1') writeFileSync(join(fixture.folder, 'stderr.txt'), finished.stderr);
      else expect(finished.stderr).toBe(fixture.stderr);
      expect(finished.code).toBe(1);
      for (const { name, finished: theirs } of judged) {
        expect(theirs.code, `${name} builds what tsbuild refuses`).not.toBe(0);
      }
    });
  });
});
