import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type BytePath, distPath, isTsbuildError } from '../../../src/core/index.ts';
import { digestOf } from '../../../src/image/index.ts';
import { copyMerged } from '../../../src/layers/apply/copy-merged.ts';
import { applyPlain } from '../../../src/layers/worker/blob-jobs.ts';
import { type HostileCase, hostilePairs } from '../../support/hostile-archives.ts';
import { applyBytes, archiveOf, neverAborted } from '../../support/layer-jobs.ts';
import {
  bash,
  describeTree,
  type TreeLine,
  temporaryFolder,
  treeDifferences,
  whyNoOverlay,
} from '../../support/layer-trees.ts';
import { mountedTree } from '../../support/overlay-steps.ts';

const noOverlay = whyNoOverlay();
const canary = 'canary of the host';

/** One folder for all attacks: its path is part of them. Each gets a directory of its own inside. */
const folder = temporaryFolder('hostile');
const outside = join(folder.path, 'outside');
const pairs = hostilePairs(outside, folder.path.split('/').length);
let sentinel: Map<string, TreeLine>;
let links: string;
let run: string;
let runs = 0;
const before = process.cwd();

beforeAll(() => {
  mkdirSync(outside);
  bash(
    `echo '${canary}' > secret; mkdir sub empty; echo '${canary}' > sub/inner; chmod 600 secret; touch -d @1000 sub empty . `,
    outside,
  );
  sentinel = describeTree(outside);
  links = linkCounts();
  // A hardlink resolved against the working directory would find the secret.
  process.chdir(outside);
});

afterAll(() => {
  process.chdir(before);
  folder.remove();
});

beforeEach(() => {
  run = join(folder.path, `run${runs++}`);
  mkdirSync(run);
});

afterEach(() => {
  expect(treeDifferences(sentinel, describeTree(outside))).toEqual([]);
  expect(linkCounts()).toBe(links);
  bash('rm -rf "$1"', folder.path, run);
});

function linkCounts(): string {
  return ['secret', 'sub', 'sub/inner', 'empty'].map((name) => lstatSync(join(outside, name)).nlink).join(' ');
}

/** The error code, or the tree that comes of it, which then lies in `run/shown`. */
type Outcome = (hostile: HostileCase) => Promise<string | Map<string, TreeLine>>;

/** Unpacked for overlayfs: what the kernel shows, and what a copy for a step holds, which is the same. */
const asOverlay: Outcome = async (hostile) => {
  const lowers: string[] = [];
  for (const [i, entries] of hostile.layers.entries()) {
    const isLast = i === hostile.layers.length - 1;
    try {
      lowers.unshift((await applyBytes(run, `layer${i}`, archiveOf(entries), { lowers })).target);
    } catch (error) {
      expect(isLast).toBe(true);
      if (!isTsbuildError(error)) throw error;
      return error.code;
    }
  }
  const shown = mountedTree(run, 'shown', lowers);
  const copy = (source: string, name: string) => {
    const input = { lowers, xattrPrefix: 'trusted.', source: source as BytePath, into: run, name } as const;
    return copyMerged(input, neverAborted);
  };
  expect(copy('', 'copy').notes).toEqual([]);
  expect(treeDifferences(shown, describeTree(join(run, 'copy')))).toEqual([]);
  for (const source of ['link', 'up', 'd/up', `/${outside}/secret`]) {
    try {
      copy(source, `copy of ${source.replaceAll('/', '_')}`);
    } catch (error) {
      expect(isTsbuildError(error) && error.code).toMatch(/^(sandbox-mount-failed|path-loop|layer-io)$/);
    }
  }
  return shown;
};

/** Unpacked over each other, as where nothing can be mounted. */
const asPlain: Outcome = async (hostile) => {
  const target = join(run, 'shown');
  mkdirSync(target);
  for (const [i, entries] of hostile.layers.entries()) {
    const archive = archiveOf(entries);
    const blob = join(run, `blob${i}`);
    writeFileSync(blob, archive);
    try {
      const input = { blob, compression: 'uncompressed', diffId: digestOf(archive), target } as const;
      expect((await applyPlain(input, neverAborted)).notes).toEqual([]);
    } catch (error) {
      expect(i).toBe(hostile.layers.length - 1);
      if (!isTsbuildError(error)) throw error;
      return error.code;
    }
  }
  return describeTree(target);
};

async function check(hostile: HostileCase, outcome: Outcome): Promise<void> {
  const result = await outcome(hostile);
  expect(filesWithCanary(run)).toEqual([]);
  if (typeof result === 'string' || hostile.refused !== undefined) {
    expect(result).toBe(hostile.refused);
    return;
  }
  for (const [path, what] of Object.entries(hostile.shows ?? {})) {
    const line = result.get(path);
    const shown = line?.kind === 'file' ? readFileSync(join(run, 'shown', path), 'utf8') : line?.kind;
    expect(shown, `${path} in ${[...result.keys()].join(' ')}`).toBe(what);
  }
  for (const path of hostile.lacks ?? []) expect(result.has(path), path).toBe(false);
}

function filesWithCanary(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => readFileSync(path, 'latin1').includes(canary));
}

describe.skipIf(noOverlay)(
  `a hostile layer touches nothing outside, and its honest twin works${noOverlay ? ` (${noOverlay})` : ''}`,
  () => {
    test('there are enough of them', () => {
      expect(pairs.length).toBeGreaterThan(80);
    });

    test.each(pairs.map(({ attack, twin }) => [attack.title, attack, twin] as const))('%s', async (_, attack, twin) => {
      await check(attack, asOverlay);
      bash('rm -rf ./*', run);
      await check(twin, asOverlay);
    });
  },
);

describe('where nothing can be mounted, a hostile layer touches nothing outside, and its honest twin works', () => {
  test.each(pairs.map(({ attack, twin }) => [attack.title, attack, twin] as const))('%s', async (_, attack, twin) => {
    await check(attack, asPlain);
    bash('rm -rf ./*', run);
    await check(twin, asPlain);
  });
});

test('unpacked by an ordinary user, no hostile layer touches what that user may write outside', () => {
  const nobody = 65534;
  bash('chown -R "$1:$1" .', outside, `${nobody}`);
  const owned = describeTree(outside);
  chmodSync(folder.path, 0o755);
  chmodSync(run, 0o777);
  try {
    const cases = pairs.flatMap(({ attack, twin }) => [attack, twin]);
    const jobs = cases.flatMap(({ layers }, number) =>
      layers.map((entries, i) => {
        const archive = archiveOf(entries);
        const blob = join(run, `blob${number}-${i}`);
        writeFileSync(blob, archive, { mode: 0o644 });
        const target = join(run, `target${number}`);
        mkdirSync(target, { recursive: true });
        chownSync(target, nobody, nobody);
        return ['applyPlain', { blob, compression: 'uncompressed', diffId: digestOf(archive), target }] as const;
      }),
    );
    const list = join(run, 'jobs');
    writeFileSync(list, JSON.stringify(jobs), { mode: 0o644 });
    const command = ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', process.execPath];
    const script = fileURLToPath(new URL('../../support/apply-as-user.mjs', import.meta.url));
    const [program = '', ...args] = [...command, script, distPath('layers-worker.js'), list];
    const output = execFileSync(program, args, { encoding: 'utf8', timeout: 50_000, maxBuffer: 1 << 26 });
    const replies = JSON.parse(output) as { readonly kind: string; readonly error?: { readonly code: string } }[];
    expect(replies).toHaveLength(jobs.length);
    let next = 0;
    for (const { title, layers, refused } of cases) {
      const codes = layers.map(() => replies[next++]?.error?.code);
      expect(codes, title).toEqual(layers.map((_, i) => (i === layers.length - 1 ? refused : undefined)));
    }
    expect(treeDifferences(owned, describeTree(outside))).toEqual([]);
  } finally {
    bash('chown -R 0:0 .', outside);
  }
});
