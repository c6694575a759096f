import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Digest } from '../../../src/image/index.ts';
import { diffUpper } from '../../../src/layers/diff/diff-upper.ts';
import { createTarReader } from '../../../src/layers/tar/tar-reader.ts';
import { applyBytes, neverAborted } from '../../support/layer-jobs.ts';
import {
  bash,
  everyKindOfEntry,
  type TreeLine,
  temporaryFolder,
  treeDifferences,
  whyNoOverlay,
} from '../../support/layer-trees.ts';
import { mountedTree, type OverlayStep, overlayStep } from '../../support/overlay-steps.ts';

const noOverlay = whyNoOverlay();

let folder: ReturnType<typeof temporaryFolder>;

beforeEach(() => {
  folder = temporaryFolder('diff');
});

afterEach(() => folder.remove());

function namesIn(archive: Buffer): string[] {
  const names: string[] = [];
  const reader = createTarReader({
    onEntry: (entry) => names.push(entry.kind === 'hardlink' ? `${entry.name} = ${entry.linkTarget}` : entry.name),
    onData: () => {},
    onEntryEnd: () => {},
  });
  reader.write(archive);
  reader.end();
  return names;
}

interface Diffed {
  readonly names: string[];
  readonly diffId: Digest;
  readonly differences: string[];
}

/** Packs a step, unpacks it again over the same lowers, and compares what the kernel shows with what the step saw. */
async function diffAndBack(step: OverlayStep, ignore: readonly (keyof TreeLine)[] = []): Promise<Diffed> {
  const draft = join(folder.path, 'layer.tar');
  const { diffId } = diffUpper(
    { upper: step.upper, lowers: step.lowers, draft, xattrPrefix: 'trusted.' },
    neverAborted,
  );
  const archive = readFileSync(draft);
  const { target } = await applyBytes(folder.path, 'applied', archive, { lowers: step.lowers, diffId });
  const shown = mountedTree(folder.path, 'shown', [target, ...step.lowers]);
  const differences = treeDifferences(withoutRootTime(step.merged), withoutRootTime(shown), ignore);
  return { names: namesIn(archive), diffId, differences };
}

/** Layers have no entry for the root; its time is what the layers below gave it. */
function withoutRootTime(tree: Map<string, TreeLine>): Map<string, TreeLine> {
  return new Map([...tree].filter(([path]) => path !== ''));
}

const base = `
mkdir -p etc usr/lib/deep var/log/old run dir/sub empty
echo a > etc/a; echo b > etc/b; echo lib > usr/lib/lib.so; echo deep > usr/lib/deep/x; echo log > var/log/old/log
ln -s ../run var/run; echo in > dir/in; echo sub > dir/sub/file; ln -s etc link; echo same > same; echo other > other
ln other other-link
touch -d 2020-01-02T03:04:05.678Z etc/a etc/b same usr usr/lib dir etc var .`;

describe.skipIf(noOverlay)(`an overlay's upper directory${noOverlay ? ` (${noOverlay})` : ''}`, () => {
  const cases: readonly (readonly [string, string, readonly string[]])[] = [
    ['nothing changed gives an empty layer', 'true', []],
    ['reading gives an empty layer', 'cat etc/a > /dev/null; ls -R > /dev/null', []],
    [
      'a new file brings its parents',
      'echo n > usr/lib/deep/new',
      ['usr/', 'usr/lib/', 'usr/lib/deep/', 'usr/lib/deep/new'],
    ],
    ['a deleted file leaves a whiteout', 'rm etc/a', ['etc/', 'etc/.wh.a']],
    ['a deleted directory leaves one whiteout', 'rm -r usr/lib', ['usr/', 'usr/.wh.lib']],
    ['a file of the step that it deleted leaves nothing', 'echo t > tmp; mkdir t; rm -r tmp t', []],
    [
      'a directory made anew is opaque',
      'rm -r dir; mkdir dir; echo n > dir/new',
      ['dir/', 'dir/.wh..wh..opq', 'dir/new'],
    ],
    [
      'a new directory is not',
      'mkdir -p etc/new/er; echo n > etc/new/er/f',
      ['etc/', 'etc/new/', 'etc/new/er/', 'etc/new/er/f'],
    ],
    ['a directory made anew and left empty hides what was in it', 'rm -r dir; mkdir dir', ['dir/', 'dir/.wh..wh..opq']],
    ['a directory whose mode changed is alone in the layer', 'chmod 700 usr/lib', ['usr/', 'usr/lib/']],
    ['a directory whose owner changed', 'chown 5:6 dir', ['dir/']],
    ['a directory whose xattrs changed', 'setfattr -n user.a -v b dir', ['dir/']],
    ['a directory whose time alone changed is not in the layer', 'touch -d 2001-01-01 dir', []],
    ['a file copied up without a change is not in the layer', 'chown 0:0 same; chmod 644 etc/a', []],
    [
      'a file whose content changed behind equal size and time is',
      `printf 'SAME\\n' > same; touch -d 2020-01-02T03:04:05.678Z same`,
      ['same'],
    ],
    ['a file whose time changed is', 'touch -d 2020-01-02T03:04:05.679Z etc/a', ['etc/', 'etc/a']],
    ['a hardlink to a file below brings both names', 'ln etc/a etc/z', ['etc/', 'etc/a', 'etc/z = etc/a']],
    [
      'hardlinks between directories keep the first name in order',
      'echo n > z; mkdir b; ln z b/z; ln z a',
      ['a', 'b/', 'b/z = a', 'z = a'],
    ],
    ['a symlink in place of a directory', 'rm -r dir; ln -s etc dir', ['dir']],
    ['a directory in place of a symlink', 'rm link; mkdir link; echo n > link/f', ['link/', 'link/f']],
    ['a directory in place of a file', 'rm same; mkdir same', ['same/']],
    ['a file in place of a directory', 'rm -r usr; echo f > usr', ['usr']],
    ['a renamed file', 'mv etc/a etc/c', ['etc/', 'etc/.wh.a', 'etc/c']],
    ['a renamed directory', 'mv dir moved', ['.wh.dir', 'moved/', 'moved/in', 'moved/sub/', 'moved/sub/file']],
    ['a path through a symlink', 'echo pid > var/run/pid', ['run/', 'run/pid']],
    [
      'siblings come in byte order, each with what is in it',
      `mkdir a a-b a.b; touch a/x a-b/x a.b/x A`,
      ['A', 'a/', 'a/x', 'a-b/', 'a-b/x', 'a.b/', 'a.b/x'],
    ],
    [
      'whiteouts stand where their name would, by the name in the archive',
      'rm same other other-link; echo n > s',
      ['.wh.other', '.wh.other-link', 's', '.wh.same'],
    ],
  ];

  test.each(cases)('%s', async (_, script, expected) => {
    const { names, differences } = await diffAndBack(overlayStep(folder.path, [base], script), ['mtime']);
    expect(names).toEqual([...expected].sort(asWalked));
    expect(differences).toEqual([]);
  });

  test('with one of everything comes back the same, times included', async () => {
    const step = overlayStep(folder.path, [base], everyKindOfEntry);
    const { names, differences } = await diffAndBack(step);
    expect(names.length).toBeGreaterThan(40);
    expect(differences).toEqual([]);
  });

  test('over several layers sees what the kernel sees of them', async () => {
    const lowers = [
      base,
      // As apply leaves them: a whiteout, an opaque directory, a file in place of a directory.
      `mkdir etc dir; mknod etc/a c 0 0; setfattr -n trusted.overlay.opaque -v y dir; echo two > dir/two; echo f > usr`,
      'mkdir -p etc/a; echo three > etc/a/three',
    ];
    const script = 'rm -r etc/a; rm -r dir; mkdir dir; rm usr; mkdir usr; echo n > usr/n; rm var/log/old/log';
    const { names, differences } = await diffAndBack(overlayStep(folder.path, lowers, script), ['mtime']);
    expect(names).toEqual([
      'dir/',
      'dir/.wh..wh..opq',
      'etc/',
      'etc/.wh.a',
      'usr/',
      'usr/n',
      'var/',
      'var/log/',
      'var/log/old/',
      'var/log/old/.wh.log',
    ]);
    expect(differences).toEqual([]);
  });

  test('skips sockets', async () => {
    const step = overlayStep(folder.path, [base], 'true');
    const server = createServer().listen(join(step.upper, 'socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    const { names } = await diffAndBack(step);
    server.close();
    expect(names).toEqual([]);
  });

  test('packs paths deeper than the kernel takes at once', async () => {
    const name = 'd'.repeat(100);
    const script = `for i in {1..60}; do mkdir ${name}; cd -P ${name}; done; echo deep > file; ln file hard; cd /`;
    const step = overlayDeep(script);
    const draft = join(folder.path, 'layer.tar');
    diffUpper({ upper: step, lowers: [join(folder.path, 'nothing')], draft, xattrPrefix: 'trusted.' }, neverAborted);
    const archive = readFileSync(draft);
    const names = namesIn(archive);
    expect(names).toHaveLength(62);
    expect(names.at(-1)).toBe(`${`${name}/`.repeat(60)}hard = ${`${name}/`.repeat(60)}file`);
    const { target } = await applyBytes(folder.path, 'applied', archive);
    expect(bash('find . -name file -printf "%s %n\\n"; find . | wc -l', target)).toBe('5 2\n63\n');
    bash('rm -rf applied upper', folder.path);
  });

  function overlayDeep(script: string): string {
    bash(`mkdir upper nothing; cd upper; ${script}`, folder.path);
    return join(folder.path, 'upper');
  }

  test('with 20,000 names in one directory keeps every one', { timeout: 240_000 }, async () => {
    const script = 'mkdir many; cd many; seq -f "file-%g" 20000 | xargs touch; cd ..';
    const { names, differences } = await diffAndBack(overlayStep(folder.path, [base], script), ['mtime']);
    expect(names).toHaveLength(20_001);
    expect(differences).toEqual([]);
  });

  test('gives one diff ID however the same content came about', async () => {
    const first = await diffAndBack(
      overlayStep(folder.path, [base], 'echo 1 > x; echo 2 > a; touch -d @5 x a; rm same'),
    );
    folder.remove();
    folder = temporaryFolder('diff');
    const second = await diffAndBack(
      overlayStep(
        folder.path,
        [base],
        'umask 077; rm same; echo 2 > tmp; mv tmp a; echo 1 > x; chmod 644 a x; touch -d @5 a x',
      ),
    );
    expect(second.diffId).toBe(first.diffId);
  });

  test('clamps times to the latest allowed, and leaves earlier ones', () => {
    const step = overlayStep(folder.path, [base], 'touch -d @100 early; touch -d @300 late');
    const draft = join(folder.path, 'layer.tar');
    const input = { upper: step.upper, lowers: step.lowers, draft, xattrPrefix: 'trusted.' } as const;
    diffUpper({ ...input, latestMtime: 200_000_000_000n }, neverAborted);
    expect(bash(`TZ=UTC tar --full-time -tvf layer.tar | awk '{print $5, $6}'`, folder.path)).toBe(
      '00:01:40 early\n00:03:20 late\n',
    );
  });

  test('refuses marks of overlay features it cannot express, and reserved names', () => {
    const step = overlayStep(folder.path, [base], 'mkdir moved; echo x > .wh.name');
    bash('setfattr -n trusted.overlay.redirect -v /dir upper/moved', folder.path);
    const input = { upper: step.upper, lowers: step.lowers, xattrPrefix: 'trusted.' } as const;
    const run = (draft: string) => () => diffUpper({ ...input, draft: join(folder.path, draft) }, neverAborted);
    expect(run('one')).toThrowError(expect.objectContaining({ code: 'layer-reserved-name' }));
    bash('rm upper/.wh.name', folder.path);
    expect(run('two')).toThrowError(expect.objectContaining({ code: 'layer-upper-unsupported' }));
  });
});

/** The order of a walk: siblings by the bytes of their names, a directory before what is in it; whiteouts by the deleted name. */
function asWalked(a: string, b: string): number {
  const key = (line: string) =>
    line
      .replace(/ = .*/, '')
      .split('/')
      .map((part) => (part === '.wh..wh..opq' ? '' : part.replace(/^\.wh\./, '')));
  const [left, right] = [key(a), key(b)];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    if (left[i] !== right[i]) return (left[i] ?? '') < (right[i] ?? '') ? -1 : 1;
  }
  return left.length - right.length;
}
