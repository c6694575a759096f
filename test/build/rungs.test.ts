/** The fixtures with a RUN on every rung: the images have the tree the rung `root` gives, but for what is listed here. */
import { chmodSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cannotTest } from '../sandbox/support/step-runner.ts';
import { allBaseImages } from '../support/base-images.ts';
import { type BuildFixture, buildFixtures, prepareContext } from '../support/build-fixtures.ts';
import { caseArguments } from '../support/build-judges.ts';
import { type Finished, mustRun, run } from '../support/command.ts';
import { type ReadImage, readOciLayout, writeDockerArchive } from '../support/image-files.ts';
import { readTar } from '../support/plain-tar.ts';
import { asContainerRoot, asUser } from '../support/rung-prefixes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { flatten, treeDifferences } from '../support/tree-compare.ts';
import { commandPath, tsbuildEnvironment } from '../support/tsbuild.ts';
import { type ComparedRung, fixturesThatDiffer } from './support/rung-differences.ts';

/** No user has it, and so no subordinate IDs. */
const ordinary = 54_323;

const prefixes: Readonly<Record<ComparedRung | 'root', readonly string[]>> = {
  root: [],
  chroot: asContainerRoot,
  single: asUser(ordinary),
};

/** Those that run something, and those that set owners without it. */
const fixtures = buildFixtures().filter(
  ({ name, folder, stderr }) => stderr === undefined && (name.includes('chown') || hasRun(folder)),
);
const folder = temporaryFolder('rungs', 0o755);
afterAll(async () => {
  await folder[Symbol.asyncDispose]();
});

type TestedRung = ComparedRung | 'root';

async function command(rung: TestedRung, args: readonly string[], fixture?: BuildFixture): Promise<Finished> {
  const [program = process.execPath, ...rest] = [...prefixes[rung], process.execPath, commandPath, ...args];
  return run(program, rest, {
    cwd: '/',
    env: { ...tsbuildEnvironment(folder.join(rung)), HOME: folder.join(rung), ...fixture?.build.env },
  });
}

async function prepareStore(rung: TestedRung): Promise<void> {
  mkdirSync(folder.join(rung));
  chmodSync(folder.join(rung), 0o755);
  if (rung === 'single') await mustRun('chown', [`${ordinary}:${ordinary}`, folder.join(rung)]);
  for (const image of allBaseImages()) {
    const archive = folder.join(`${rung}.tar`);
    writeDockerArchive(archive, image);
    chmodSync(archive, 0o644);
    const loaded = await command(rung, ['load', '-i', archive]);
    if (loaded.code !== 0) throw new Error(loaded.stderr);
  }
}

async function build(rung: TestedRung, fixture: BuildFixture, context: string): Promise<Finished> {
  return command(
    rung,
    [
      ...['build', '--progress', 'plain', '-t', `case-${fixture.name}:1`],
      `--isolation=${rung === 'single' ? 'userns' : rung}`,
      ...caseArguments(fixture, context),
      ...(fixture.build.tsbuildArgs ?? []),
      context,
    ],
    fixture,
  );
}

/** Once, for all rungs: the contexts are the same. */
const builtOnRoot = new Map<string, Promise<Finished>>();
function buildOnRoot(fixture: BuildFixture, context: string): Promise<Finished> {
  const built = builtOnRoot.get(fixture.name) ?? build('root', fixture, context);
  builtOnRoot.set(fixture.name, built);
  return built;
}

function imageOf(rung: TestedRung, fixture: BuildFixture): ReadImage {
  return readOciLayout(folder.join(rung), `docker.io/library/case-${fixture.name}:1`);
}

/**
 * The names each layer has: the layers are to be the same, not only what they make together. Without whiteouts: where an
 * inode number is used again for a directory, its old names are whited out one by one.
 */
function namesOf(image: ReadImage): string[][] {
  return image.layers.map((layer) =>
    readTar(layer).flatMap(({ path, kind }) => (/(^|\/)\.wh\./.test(path) ? [] : [`${kind} ${path}`])),
  );
}

const contextOf = (fixture: BuildFixture) => folder.join(`context-${fixture.name}`);

beforeAll(() => prepareStore('root'), 120_000);

for (const rung of ['chroot', 'single'] as const) {
  const reason = await cannotTest(rung);
  describe.skipIf(reason !== undefined)(`${rung}${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
    beforeAll(async () => {
      await prepareStore(rung);
    }, 120_000);

    test.each(fixtures.map((fixture) => [fixture.name, fixture] as const))('%s', async (name, fixture) => {
      const context = contextOf(fixture);
      try {
        await prepareContext(fixture, context);
        const [ours, theirs] = await Promise.all([build(rung, fixture, context), buildOnRoot(fixture, context)]);
        expect(theirs.code, theirs.stderr).toBe(0);
        const differences =
          ours.code === 0
            ? compare(rung, fixture)
            : [`does not build: ${ours.stderr.split('\n').find((line) => line.includes('error'))}`];
        const known = fixturesThatDiffer[rung][name];
        if (known === undefined) expect(differences).toEqual([]);
        else expect(differences, 'it no longer differs').not.toEqual([]);
      } finally {
        await rm(context, { recursive: true, force: true });
      }
    });
  });
}

function compare(rung: TestedRung, fixture: BuildFixture): string[] {
  const [ours, theirs] = [imageOf(rung, fixture), imageOf('root', fixture)];
  const trees = treeDifferences(flatten(ours), flatten(theirs), 'root', { without: ['mtime'] });
  if (trees.length > 0) return trees;
  const [a, b] = [namesOf(ours), namesOf(theirs)];
  return JSON.stringify(a) === JSON.stringify(b)
    ? []
    : [`layers hold ${JSON.stringify(a)}, of root ${JSON.stringify(b)}`];
}

function hasRun(folder: string): boolean {
  return readdirSync(folder).some(
    (name) => /dockerfile/i.test(name) && /^\s*(ONBUILD )?RUN\b/im.test(readFileSync(join(folder, name), 'utf8')),
  );
}
