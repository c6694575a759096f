/**
 * The tools that judge our builds, started once for all cases of a test file: Docker's BuildKit and buildah, both with
 * the same base images. A judge that refuses a case is a failure unless the case says so.
 */
import { join } from 'node:path';
import { allBaseImages } from './base-images.ts';
import type { BuildFixture, JudgeName } from './build-fixtures.ts';
import { startBuildah } from './buildah.ts';
import type { Finished, RunOptions } from './command.ts';
import { configDifferences, historyDifferences } from './config-compare.ts';
import { startDockerd } from './dockerd.ts';
import { type ReadImage, writeDockerArchive } from './image-files.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { type FlatTree, flatten, type TreeComparison, treeDifferences } from './tree-compare.ts';

export interface Judge extends AsyncDisposable {
  readonly name: JudgeName;
  build(tag: string, context: string, args: readonly string[], options?: RunOptions): Promise<Finished>;
  read(tag: string): Promise<ReadImage>;
}

/**
 * Starts a judge and gives it the base images.
 * @param enter what stands in front of a command to run it in another root (`Trixie.enter`)
 */
export async function startJudge(name: JudgeName, enter: readonly string[] = []): Promise<Judge> {
  const tool = name === 'docker' ? await startDockerd(enter) : await startBuildah(enter);
  const archives = temporaryFolder('bases');
  try {
    for (const image of allBaseImages()) {
      const archive = archives.join(`${image.name}.tar`);
      writeDockerArchive(archive, image);
      await tool.load(archive, image.name);
    }
  } catch (error) {
    await tool[Symbol.asyncDispose]();
    throw error;
  } finally {
    await archives[Symbol.asyncDispose]();
  }
  return {
    name,
    build: (tag, context, args, options) => tool.build(tag, context, args, options),
    read: (tag) => tool.read(tag),
    [Symbol.asyncDispose]: () => tool[Symbol.asyncDispose](),
  };
}

/** The arguments of a case as every builder takes them; `-f` is relative to the context in a case. */
export function caseArguments(fixture: BuildFixture, context: string): string[] {
  const args = fixture.build.args ?? [];
  return args.map((arg, index) => (args[index - 1] === '-f' ? join(context, arg) : arg));
}

/**
 * Every difference the case does not explain, as readable lines.
 * @param differs the explained ones, with the reason
 */
export function imageDifferences(
  fixture: BuildFixture,
  ours: { readonly image: ReadImage; readonly tree: FlatTree },
  theirs: ReadImage,
  judge: JudgeName,
  differs: Readonly<Record<string, string>> = fixture.build.differs?.[judge] ?? {},
): string[] {
  const explained = Object.keys(differs);
  const docker = judge === 'docker';
  // buildah makes the directory of every volume.
  const volumes = Object.keys((theirs.config.config?.Volumes as Record<string, unknown> | undefined) ?? {}).map(
    (name) => `${name}/`,
  );
  const comparison: TreeComparison = {
    // buildah writes hardlinks as it meets them, and copies without them.
    without: [...(docker && fixture.build.mtime ? [] : (['mtime'] as const)), ...(docker ? [] : (['links'] as const))],
    ignore: [...explained.filter((name) => name.startsWith('/')), ...(docker ? [] : volumes)].map((name) =>
      name.slice(1),
    ),
  };
  return [
    ...treeDifferences(ours.tree, flatten(theirs), judge, comparison),
    ...configDifferences(ours.image.config, theirs.config, judge, explained),
    ...(docker && !explained.includes('history') ? historyDifferences(ours.image.config, theirs.config, judge) : []),
  ];
}
