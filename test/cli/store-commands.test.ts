/** The commands that look after the store, as people call them. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { mustRun } from '../support/command.ts';
import { requirement } from '../support/requirement.ts';
import { commandPath, tsbuild, tsbuildEnvironment } from '../support/tsbuild.ts';

const megabyte = 1_000_000;

let place: BuildWorkspace;
beforeAll(async () => {
  place = buildWorkspace('store-commands');
  const context = place.context('context', {
    Dockerfile: 'FROM scratch AS first\nCOPY a /a\nFROM scratch AS second\nCOPY b /b\nFROM scratch\nCOPY c /c\n',
    ...Object.fromEntries(['a', 'b', 'c'].map((name) => [name, name.repeat(megabyte)])),
  });
  await place.build(context, ['-t', 'kept:1', '-t', 'kept:2']);
  for (const target of ['first', 'second']) await place.build(context, ['--target', target, '-t', 'gone:1']);
  await place.tsbuild(['rmi', 'gone:1']);
});
afterAll(async () => {
  await place?.[Symbol.asyncDispose]();
});

const run = (...args: string[]) => tsbuild(args, { home: place.home, cwd: place.path });
const file = (name: string) => join(place.path, name);

interface UsageLine {
  readonly kind: string;
  readonly size: number;
}

async function storeSize(): Promise<number> {
  const { text } = await place.tsbuild(['df', '--format', 'json']);
  return text
    .trim()
    .split('\n')
    .reduce((sum, line) => sum + (JSON.parse(line) as UsageLine).size, 0);
}

describe('df', () => {
  test('-v lists every image with its size and what it shares with others, not with another name of its own', async () => {
    const { text } = await place.tsbuild(['df', '-v']);
    const megabytes = expect.stringMatching(/^1(\.\d+)?MB$/);
    const rows = text.split('\n').map((line) => line.split(/\s{2,}/));
    expect(rows.find(([kind]) => kind === 'Images')).toEqual(['Images', '1', '1', megabytes, '0B']);
    for (const name of ['kept:1', 'kept:2'])
      expect(rows.find(([one]) => one === name)?.slice(-2)).toEqual([megabytes, '0B']);
  });
});

describe('prune', () => {
  test('to a size takes what was used longest ago, and no image that has a name', async () => {
    const blobs = join(place.home, 'blobs/sha256');
    const layers = readdirSync(blobs).filter((name) => statSync(join(blobs, name)).size > megabyte);
    const contentOf = (name: string) => readFileSync(join(blobs, name)).toString('latin1', 100_000, 100_001);
    expect(layers.map(contentOf).sort()).toEqual(['a', 'b', 'c']);
    for (const name of layers) {
      // The image that has a name was used longest ago of all.
      const used = Date.now() / 1000 - ({ a: 1000, b: 2000, c: 3000 }[contentOf(name)] ?? 0);
      utimesSync(join(blobs, name), used, used);
    }
    const left = () =>
      readdirSync(blobs)
        .filter((name) => layers.includes(name))
        .map(contentOf)
        .sort();
    await place.tsbuild(['prune', '--all', '--keep-storage', '1g']);
    expect(left()).toEqual(['a', 'b', 'c']);
    await place.tsbuild(['prune', '--keep-storage', `${(await storeSize()) - megabyte / 2}`]);
    expect(left()).toEqual(['a', 'c']);
    await place.tsbuild(['prune', '--keep-storage', '0']);
    expect(left()).toEqual(['c']);
    expect((await place.tsbuild(['store', 'check'])).text).toContain('Nothing is damaged');
  });
});

describe('rmi', () => {
  test('takes off what is there when something else is not, and fails in the end', async () => {
    for (const name of ['one:1', 'two:1']) await place.tsbuild(['tag', 'kept:1', name]);
    const removed = await run('rmi', 'one:1', 'missing:1', '', 'two:1');
    expect(removed).toMatchObject({ code: 1, text: 'Untagged: one:1\nUntagged: two:1\n' });
    expect(removed.stderr).toContain('the local store has no image missing:1');
    expect(removed.stderr).toContain('the local store has no image ""');
  });
});

describe('save', () => {
  test('names each image once, with all that it was asked for by', async () => {
    await place.tsbuild(['save', '-o', file('names.tar'), 'kept:2', 'kept:1', 'kept:2']);
    const list = JSON.parse(execFileSync('tar', ['-xOf', file('names.tar'), 'manifest.json']).toString());
    expect(list.map(({ RepoTags }: { RepoTags: string[] }) => RepoTags)).toEqual([
      ['docker.io/library/kept:2', 'docker.io/library/kept:1'],
    ]);
  });

  test('replaces the file a symlink leads to, writes to a pipe, and replaces no folder', async () => {
    await place.tsbuild(['save', '-o', file('plain.tar'), 'kept:1']);
    const whole = readFileSync(file('plain.tar'));
    writeFileSync(file('real.tar'), 'old');
    symlinkSync('real.tar', file('link.tar'));
    await place.tsbuild(['save', '-o', file('link.tar'), 'kept:1']);
    expect(readlinkSync(file('link.tar'))).toBe('real.tar');
    expect(readFileSync(file('real.tar')).equals(whole)).toBe(true);
    execFileSync('mkfifo', [file('pipe')]);
    const written = run('save', '-o', file('pipe'), 'kept:1');
    // Not into a pipe of this process's, which may give back what it cannot take at once.
    await mustRun('sh', ['-c', 'cat "$1" >"$2"', 'sh', file('pipe'), file('read.tar')]);
    expect((await written).code).toBe(0);
    expect(readFileSync(file('read.tar')).equals(whole)).toBe(true);
    expect(lstatSync(file('pipe')).isFIFO()).toBe(true);
    mkdirSync(file('folder'));
    expect(await run('save', '-o', file('folder'), 'kept:1')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`cannot write ${file('folder')}: it is a folder`),
    });
    expect(await run('save', '-o', file('none/x.tar'), 'kept:1')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('Make the folder first.'),
    });
  });

  test('for a platform the image is not for is an error', async () => {
    const saved = await run('save', '--platform', 'linux/s390x', '-o', file('never.tar'), 'kept:1');
    expect(saved).toMatchObject({ code: 1, stderr: expect.stringContaining('not for linux/s390x') });
  });

  test('of an image that lost a layer names the image, the layer and the way out', async () => {
    const context = place.context('lost', { Dockerfile: 'FROM scratch\nCOPY f /f\n', f: 'lost' });
    await place.build(context, ['-t', 'lost:1']);
    const digest = place.image('docker.io/library/lost:1').manifest?.layers[0]?.digest ?? '';
    const path = join(place.home, 'blobs', digest.replace(':', '/'));
    chmodSync(path, 0o600);
    unlinkSync(path);
    expect(await run('save', '-o', file('lost.tar'), 'kept:1', 'lost:1')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(new RegExp(`lost:1 is not complete: .*${digest}`)),
    });
    const check = await run('store', 'check');
    expect(check).toMatchObject({ code: 1 });
    expect(check.text).toContain(`missing: ${digest} of docker.io/library/lost:1`);
    await place.build(context, ['-t', 'lost:1']);
    expect((await run('store', 'check')).code).toBe(0);
  });
});

describe('load', () => {
  test('of what is not there says so', async () => {
    expect(await run('load', '-i', file('nothing.tar'))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`there is no archive ${file('nothing.tar')}`),
    });
  });
});

describe('a store that may only be read', () => {
  const missing = process.getuid?.() === 0 ? undefined : 'mounting a folder read-only needs root';
  requirement('a read-only store', missing);

  test.skipIf(missing !== undefined)('is listed, measured, checked and saved from', () => {
    const script = `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 9; shift
      for command in images 'df -v' 'store check' 'inspect kept:1' 'save -o ${file('read-only.tar')} kept:1'; do
        "$@" $command || exit 1
      done; "$@" tag kept:1 other:1 && exit 1; exit 0`;
    const args = ['-m', 'sh', '-c', script, 'sh', place.home, process.execPath, commandPath];
    const done = spawnSync('unshare', args, { env: { ...process.env, ...tsbuildEnvironment(place.home) } });
    expect({ status: done.status, stderr: done.stderr.toString() }).toEqual({
      status: 0,
      stderr: expect.stringContaining('the file system is read-only'),
    });
  });
});

describe('TSBUILD_HOME', () => {
  test('that is a file, or holds something else, is refused', async () => {
    writeFileSync(file('a-file'), '');
    for (const [home, why] of [
      [file('a-file'), 'it is no folder'],
      [file('context'), 'no oci-layout file'],
    ] as const) {
      expect(await tsbuild(['images'], { home })).toMatchObject({ code: 1, stderr: expect.stringContaining(why) });
    }
  });
});
