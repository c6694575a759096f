/** The fixtures on every rung: the images have the tree the rung `root` gives, but for what is listed here. */
import { chmodSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cannotTest } from '../sandbox/support/step-runner.ts';
import { allBaseImages } from '../support/base-images.ts';
import { type BuildFixture, buildFixtures, prepareContext } from '../support/build-fixtures.ts';
import { caseArguments } from '../support/build-judges.ts';
import { type Finished, mustRun, run } from '../support/command.ts';
import { type ReadImage, readOciLayout, writeDockerArchive } from '../support/image-files.ts';
import { type OrdinaryUser, ordinaryUser } from '../support/ordinary-user.ts';
import { readTar } from '../support/plain-tar.ts';
import { asContainerRoot, asUser } from '../support/rung-prefixes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { flatten, treeDifferences } from '../support/tree-compare.ts';
import { commandPath, tsbuildEnvironment } from '../support/tsbuild.ts';
import { type ComparedRung, fixturesThatDiffer } from './support/rung-differences.ts';

/** No user has it, and so no subordinate IDs. */
const ordinary = 54_323;
let user: OrdinaryUser | undefined;

function prefixOf(rung: TestedRung): readonly string[] {
  if (rung === 'chroot') return asContainerRoot;
  return rung === 'root' ? [] : asUser(ownerOf(rung));
}

function ownerOf(rung: TestedRung): number {
  if (rung === 'single') return ordinary;
  return rung === 'userns' ? (user?.uid ?? ordinary) : 0;
}

/** TSBUILD_RUNGS=all: every fixture on every rung. Else these two, which are easiest to get right, see every third. */
const sampled: ReadonlySet<string> = new Set(process.env.TSBUILD_RUNGS === 'all' ? [] : ['userns', 'none']);

/** Those that run something, and those that set owners without it. */
const fixtures = buildFixtures().filter(
  ({ folder, stderr }) => stderr === undefined && dockerfilesSay(folder, /^\s*(ONBUILD )?(RUN|ADD|USER)\b|--chown/im),
);
const folder = temporaryFolder('rungs', 0o755);
afterAll(async () => {
  await folder[Symbol.asyncDispose]();
  await user?.[Symbol.asyncDispose]();
});

type TestedRung = ComparedRung | 'root';

async function command(rung: TestedRung, args: readonly string[], fixture?: BuildFixture): Promise<Finished> {
  const [program = process.execPath, ...rest] = [...prefixOf(rung), process.execPath, commandPath, ...args];
  return run(program, rest, {
    cwd: '/',
    env: { ...tsbuildEnvironment(folder.join(rung)), HOME: folder.join(rung), ...fixture?.build.env },
  });
}

async function prepareStore(rung: TestedRung): Promise<void> {
  mkdirSync(folder.join(rung));
  chmodSync(folder.join(rung), 0o755);
  if (rung === 'userns') user = await ordinaryUser();
  await mustRun('chown', [`${ownerOf(rung)}:${ownerOf(rung)}`, folder.join(rung)]);
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

/** Once, for all rungs. */
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

/** The same for all rungs: an archive that is made for a context has the time of that in it. */
const contexts = new Map<string, Promise<string>>();
function contextOf(fixture: BuildFixture): Promise<string> {
  const path = folder.join(`context-${fixture.name}`);
  const context = contexts.get(fixture.name) ?? prepareContext(fixture, path).then(() => path);
  contexts.set(fixture.name, context);
  return context;
}

beforeAll(() => prepareStore('root'), 120_000);

for (const rung of ['userns', 'single', 'chroot', 'none'] as const) {
  const reason = rung === 'none' ? undefined : await cannotTest(rung);
  const buildable =
    rung === 'none' ? fixtures.filter(({ folder }) => !dockerfilesSay(folder, /^\s*(ONBUILD )?RUN\b/im)) : fixtures;
  describe.skipIf(reason !== undefined)(`${rung}${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
    beforeAll(async () => {
      await prepareStore(rung);
    }, 120_000);

    const tested = sampled.has(rung) ? buildable.filter((_, index) => index % 3 === 0) : buildable;
    test.each(tested.map((fixture) => [fixture.name, fixture] as const))('%s', async (name, fixture) => {
      const context = await contextOf(fixture);
      const [ours, theirs] = await Promise.all([build(rung, fixture, context), buildOnRoot(fixture, context)]);
      expect(theirs.code, theirs.stderr).toBe(0);
      const differences =
        ours.code === 0
          ? compare(rung, fixture)
          : [`does not build: ${ours.stderr.split('\n').find((line) => line.includes('error'))}`];
      const known = fixturesThatDiffer[rung][name];
      if (known === undefined) expect(differences).toEqual([]);
      else expect(differences, 'it no longer differs').not.toEqual([]);
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

test('none refuses a RUN and says what would enable it', async () => {
  const finished = await run(process.execPath, [commandPath, 'build', '--isolation=none', '--no-cache', '-'], {
    input: 'FROM base\nRUN true\n',
    env: tsbuildEnvironment(folder.join('root')),
  });
  expect(finished.code).toBe(1);
  expect(finished.stderr).toMatch(/\[sandbox-unavailable\][\s\S]*hint: /);
});

function dockerfilesSay(directory: string, what: RegExp): boolean {
  return readdirSync(directory).some(
    (name) => /dockerfile/i.test(name) && what.test(readFileSync(join(directory, name), 'utf8')),
  );
}
