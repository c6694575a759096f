import { execFileSync } from 'node:child_process';
import { closeSync, cpSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { compareRoots } from '../../../src/layers/diff/compare-roots.ts';
import { diffRoot, recordRoot } from '../../../src/layers/diff/diff-root.ts';
import { diffUpper } from '../../../src/layers/diff/diff-upper.ts';
import { RecordView, takeRecord } from '../../../src/layers/diff/root-record.ts';
import { neverAborted } from '../../support/layer-jobs.ts';
import { bash, bashWithMounts, temporaryFolder, whyNoOverlay } from '../../support/layer-trees.ts';

const base = `
mkdir -p d/deep e plain other; echo one > d/file; echo two > d/deep/file; echo keep > e/keep; echo f > plain/f
ln e/keep e/link; ln -s d/file symlink; echo kind > kind; mkdir kind-d; echo x > kind-d/x; echo same > same
touch -d '2001-02-03T04:05:06.5Z' same d/file; chmod 2755 other; mkfifo fifo
`;

/** What steps do, each in a tree of its own. */
const steps: readonly (readonly [name: string, script: string])[] = [
  ['adds a file and a directory', 'echo n > d/new; mkdir -p n/m; echo o > n/m/o'],
  ['deletes a file, a directory and a symlink', 'rm d/file symlink; rm -r d/deep'],
  ['replaces a directory', 'mkdir x; cp -a d/file x/file; rm -r d; mkdir y; mv x d; rmdir y; echo again > d/file'],
  ['changes the kind of what it finds', 'rm kind; mkdir kind; echo in > kind/in; rm -r kind-d; echo now > kind-d'],
  [
    'changes content but neither size nor time',
    'echo nose > same; truncate -s 5 same; touch -d 2001-02-03T04:05:06.5Z same',
  ],
  ['writes what was there already', 'echo same > same; touch -d 2001-02-03T04:05:06.5Z same; chmod 644 d/file'],
  ['changes modes and owners', 'chmod 600 d/file; chown 7:8 plain; chown -h 9:9 symlink; chmod 4755 d/deep/file'],
  ['changes attributes', 'setfattr -n user.a -v b plain/f; setfattr -n user.a -v b plain'],
  ['links', 'ln d/file d/zlink; ln d/deep/file alink; echo new > x1; ln x1 x2'],
  ['unlinks one of two names', 'rm e/link'],
  ['touches what it does not change', 'touch d; ls -R > /dev/null; mv plain/f plain/g; mv plain/g plain/f'],
  ['leaves sockets and pipes', 'rm fifo; mkfifo d/fifo'],
  ['does nothing', 'true'],
];

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder('compare-roots');
  for (const name of ['root', 'lower', 'upper', 'work', 'merged']) mkdirSync(join(folder.path, name));
  bash(base, join(folder.path, 'root'));
  bash('cp -a ../root/. .', join(folder.path, 'lower'));
});
afterEach(() => folder.remove());

const why = process.geteuid?.() === 0 ? whyNoOverlay() : 'the tests make owners and mounts';

function listing(archive: string): string {
  const text = execFileSync('tar', ['--numeric-owner', '-tvf', archive], { encoding: 'utf8' });
  // Times differ: the step ran twice.
  return text.replace(/\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?/g, '');
}

describe.skipIf(why !== undefined)(`a step in a plain directory${why ? ` (skipped: ${why})` : ''}`, () => {
  test.each(steps)('that %s gives the layer an overlay gives', async (_, script) => {
    const at = (name: string) => join(folder.path, name);
    const { record } = recordRoot({ root: at('root') }, neverAborted);
    await new Promise((resolve) => setTimeout(resolve, 20));
    bash(script, at('root'));
    const input = { root: at('root'), record, draft: at('plain.tar') };
    const first = diffRoot(input, neverAborted);
    if (first.kind === 'undecided') {
      const unchanged = first.paths.filter(
        (path) => bash(`cmp -s ../lower/${path} ${path} && echo same || true`, at('root')) !== '',
      );
      expect(diffRoot({ ...input, unchanged }, neverAborted).kind).toBe('layer');
    }
    bashWithMounts(
      `mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work,redirect_dir=off,metacopy=off merged; cd merged; ${script}`,
      folder.path,
    );
    diffUpper(
      { upper: at('upper'), lowers: [at('lower')], draft: at('overlay.tar'), xattrPrefix: 'trusted.' },
      neverAborted,
    );
    expect(listing(at('plain.tar'))).toBe(listing(at('overlay.tar')));
  });
});

test('a change of a file with several names is a change of each of them', () => {
  const root = join(folder.path, 'root');
  const { record } = recordRoot({ root }, neverAborted);
  bash('chmod 600 e/keep', root);
  const draft = join(folder.path, 'layer.tar');
  expect(diffRoot({ root, record, draft }, neverAborted).kind).toBe('layer');
  expect(execFileSync('tar', ['-tf', draft], { encoding: 'utf8' })).toBe('e/\ne/keep\ne/link\n');
});

test('a record taken again knows what has not changed without reading it', () => {
  const root = join(folder.path, 'root');
  const fd = openSync(root, 'r');
  try {
    const first = takeRecord(fd, undefined, () => {});
    const second = takeRecord(fd, new RecordView(first), () => {});
    expect(second).toEqual(first);
    expect(compareRoots(new RecordView(first), new RecordView(second), new Set()).changes).toEqual([]);
  } finally {
    closeSync(fd);
  }
});

test('a copy of a tree is another tree until its contents are compared', () => {
  const root = join(folder.path, 'root');
  const { record } = recordRoot({ root }, neverAborted);
  cpSync(join(root, 'same'), join(root, 'again'), { preserveTimestamps: true });
  bash('mv again same', root);
  const output = diffRoot({ root, record, draft: join(folder.path, 'layer.tar') }, neverAborted);
  expect(output).toEqual({ kind: 'undecided', paths: ['same'] });
});
