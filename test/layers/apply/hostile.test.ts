import { lstatSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { isTsbuildError } from '../../../src/core/index.ts';
import { type HostileCase, hostilePairs } from '../../support/hostile-archives.ts';
import { applyBytes, archiveOf } from '../../support/layer-jobs.ts';
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

/** The error code, or the tree that the kernel shows. */
async function outcome(hostile: HostileCase): Promise<string | Map<string, TreeLine>> {
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
  return mountedTree(run, 'shown', lowers);
}

async function check(hostile: HostileCase): Promise<void> {
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
      await check(attack);
      bash('rm -rf ./*', run);
      await check(twin);
    });
  },
);
