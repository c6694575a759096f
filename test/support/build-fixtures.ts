/**
 * The Dockerfile cases under fixtures/build/, one folder each. What belongs to the case and not to its context:
 * - `case.json` (all members optional): how to build it, and what a judge does differently and why;
 * - `expected.json`: what our image must have where no judge can say it, with the reason;
 * - `stderr.txt`: the case must fail and print exactly this.
 * Invariant: a prepared context is the same on every machine: modes and times do not depend on how the project was checked out.
 */
import { chmodSync, cpSync, existsSync, lstatSync, lutimesSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mustRun } from './command.ts';
import type { TreeNode } from './tree-compare.ts';

export type JudgeName = 'docker' | 'buildah';

export interface BuildCase {
  /** What the case shows, in one sentence. */
  readonly about?: string;
  /** Arguments every builder understands: `--build-arg`, `--target`, `-f` (relative to the context). */
  readonly args?: readonly string[];
  /** Arguments for tsbuild alone. */
  readonly tsbuildArgs?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Shell commands run in the copy of the context: what git cannot hold (modes, hardlinks, FIFOs, empty directories). */
  readonly setup?: readonly string[];
  /** Judges that cannot say, and why. */
  readonly without?: Readonly<Partial<Record<JudgeName, string>>>;
  /** Compare times as well (with docker): for images whose every file comes from COPY. */
  readonly mtime?: boolean;
  /**
   * Differences we stand by, each with the reason: members of config, `history`, `author`, a `/path`, or `/path/` for
   * everything below as well.
   */
  readonly differs?: Readonly<Partial<Record<JudgeName, Readonly<Record<string, string>>>>>;
  /** The same of Docker 26 in Debian trixie, which has a BuildKit that knows most of what is newer. */
  readonly trixie?: {
    readonly without?: string;
    readonly differs?: Readonly<Record<string, string>>;
  };
}

export interface ExpectedImage {
  readonly why: string;
  /** Members of config that must be exactly this; null: absent. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Paths with the members that must be exactly this; null: no such path. */
  readonly tree?: Readonly<Record<string, Partial<TreeNode> | null>>;
  /** The whole history of this build (the base's left out): `created_by`, with `(empty) ` before those without a layer. */
  readonly history?: readonly string[];
  /** stderr must hold each of these. */
  readonly stderr?: readonly string[];
}

export interface BuildFixture {
  readonly name: string;
  readonly folder: string;
  readonly build: BuildCase;
  readonly expected?: ExpectedImage;
  /** The exact text of stderr of a build that must fail. */
  readonly stderr?: string;
}

const ownFiles = new Set(['case.json', 'expected.json', 'stderr.txt']);
const epoch = new Date('2021-03-04T05:06:07Z');
export const fixturesFolder = fileURLToPath(new URL('../../fixtures/build/', import.meta.url));

export function buildFixtures(): readonly BuildFixture[] {
  return readdirSync(fixturesFolder)
    .sort()
    .map((name) => {
      const folder = join(fixturesFolder, name);
      const optional = (file: string) =>
        existsSync(join(folder, file)) ? readFileSync(join(folder, file), 'utf8') : undefined;
      const [build, expected, stderr] = [optional('case.json'), optional('expected.json'), optional('stderr.txt')];
      return {
        name,
        folder,
        build: JSON.parse(build ?? '{}') as BuildCase,
        ...(expected !== undefined && { expected: JSON.parse(expected) as ExpectedImage }),
        ...(stderr !== undefined && { stderr }),
      };
    });
}

/** Makes the context of a case in a new folder. */
export async function prepareContext(fixture: BuildFixture, target: string): Promise<void> {
  cpSync(fixture.folder, target, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => join(fixture.folder, basename(path)) !== path || !ownFiles.has(basename(path)),
  });
  normalizeModes(target);
  for (const command of fixture.build.setup ?? []) {
    await mustRun('sh', ['-e', '-c', `umask 022; ${command}`], { cwd: target });
  }
  normalizeTimes(Buffer.from(target));
}

function normalizeModes(path: string): void {
  const stat = lstatSync(path);
  if (stat.isSymbolicLink()) return;
  chmodSync(path, stat.isDirectory() || stat.mode & 0o100 ? 0o755 : 0o644);
  if (stat.isDirectory()) for (const name of readdirSync(path)) normalizeModes(join(path, name));
}

/** Names are bytes: a case may have some that are not UTF-8. */
function normalizeTimes(path: Buffer): void {
  if (lstatSync(path).isDirectory()) {
    for (const name of readdirSync(path, { encoding: 'buffer' })) {
      normalizeTimes(Buffer.concat([path, Buffer.from('/'), name]));
    }
  }
  lutimesSync(path, epoch, epoch);
}
