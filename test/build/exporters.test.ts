/** What a build hands on: outputs, several at once, their names and annotations. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { requirement } from '../support/requirement.ts';
import { smallDisk, smallDiskMissing } from '../support/small-disk.ts';
import { commandPath } from '../support/tsbuild.ts';

const noSmallDisk = smallDiskMissing();
requirement('a small disk', noSmallDisk);

let place: BuildWorkspace;
let context: string;

beforeAll(() => {
  place = buildWorkspace('exporters');
  context = place.context('context', { Dockerfile: 'FROM scratch\nCOPY a /dir/a\nCOPY b /b\n', a: 'a\n', b: 'b\n' });
});
afterAll(async () => {
  await place?.[Symbol.asyncDispose]();
});

const file = (name: string) => join(place.path, name);

interface Described {
  readonly digest: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly manifests: readonly Described[];
}

function fromTar(archive: string, member: string) {
  return JSON.parse(execFileSync('tar', ['-xOf', archive, member]).toString());
}

function blob(archive: string, digest: string): Described {
  return fromTar(archive, `blobs/${digest.replace(':', '/')}`);
}

function entries(archive: string): readonly Described[] {
  return fromTar(archive, 'index.json').manifests;
}

const refName = 'org.opencontainers.image.ref.name';

describe('outputs', () => {
  test('of one build may be several, one of them on standard output', async () => {
    mkdirSync(file('out/dir'), { recursive: true });
    for (const name of ['out/old', 'out/dir/old']) writeFileSync(file(name), '');
    const built = await place.build(context, [
      ...['-t', 'app:1', '-t', 'team/app:2', '-o', `type=local,dest=${file('out')},mode=delete`],
      ...['-o', `type=tar,dest=${file('tree.tar')}`, '-o', `type=oci,dest=${file('oci.tar')}`, '-o', '-'],
      ...['-o', `type=docker,dest=${file('docker.tar')}`, '-o', `type=oci,tar=false,dest=${file('layout')}`],
      ...['-o', `type=oci,name=other/name:3,dest=${file('named.tar')}`],
    ]);
    expect(readdirSync(file('out')).sort()).toEqual(['b', 'dir']);
    expect(readdirSync(file('out/dir'))).toEqual(['a']);
    expect(built.stdout.equals(readFileSync(file('tree.tar')))).toBe(true);
    expect(execFileSync('tar', ['-tf', file('tree.tar')]).toString()).toBe('./\nb\ndir/\ndir/a\n');
    const names = ['docker.io/library/app:1', 'docker.io/team/app:2'];
    const namesOf = (list: readonly Described[]) => list.map(({ annotations }) => annotations?.[refName]);
    expect(namesOf(entries(file('oci.tar')))).toEqual(names);
    expect(namesOf(JSON.parse(readFileSync(file('layout/index.json'), 'utf8')).manifests)).toEqual(names);
    expect(namesOf(entries(file('named.tar')))).toEqual(['docker.io/other/name:3']);
    expect(fromTar(file('docker.tar'), 'manifest.json')[0].RepoTags).toEqual(names);
  });

  test('into a folder leave what is there, unless it is to be deleted', async () => {
    mkdirSync(file('kept'));
    writeFileSync(file('kept/old'), 'old');
    writeFileSync(file('kept/b'), 'another b');
    await place.build(context, ['-o', `type=local,dest=${file('kept')}`]);
    expect(readdirSync(file('kept')).sort()).toEqual(['b', 'dir', 'old']);
    expect(readFileSync(file('kept/b'), 'utf8')).toBe('b\n');
  });

  test('that no place takes are refused before a step runs, by the name of the place', async () => {
    writeFileSync(file('a-file'), '');
    mkdirSync(file('a-folder'));
    symlinkSync('nowhere', file('dangling'));
    for (const [output, why] of [
      [`type=oci,dest=${file('none/x.tar')}`, `cannot write ${file('none/x.tar')}: its folder does not exist`],
      [`type=docker,dest=${file('a-folder')}`, `cannot write ${file('a-folder')}: it is a folder`],
      [
        `type=tar,dest=${file('a-file/x.tar')}`,
        `cannot write ${file('a-file/x.tar')}: what it says is a folder is none`,
      ],
      [`type=local,dest=${file('a-file')}`, `cannot write ${file('a-file')}: it is no folder`],
      [`type=local,dest=${file('a-file/below')}`, `cannot write ${file('a-file/below')}: what it says is a folder`],
      [
        `type=local,dest=${file('dangling')}`,
        `cannot write ${file('dangling')}: it is a symbolic link that leads nowhere`,
      ],
      [`type=oci,tar=false,dest=${file('a-file')}`, `cannot write ${file('a-file')}: it is no folder`],
    ] as const) {
      const whole = ['-o', `type=tar,dest=${file('whole.tar')}`];
      const refused = await place.tryBuild(context, ['--no-cache', '--progress', 'plain', ...whole, '-o', output]);
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(why) });
      expect(refused.stderr).not.toContain('DONE');
      // Not even what could have been written.
      expect(existsSync(file('whole.tar'))).toBe(false);
    }
    expect(existsSync(file('none'))).toBe(false);
    expect(existsSync(file('nowhere'))).toBe(false);
    expect(readdirSync(file('a-folder'))).toEqual([]);
  });

  test.skipIf(noSmallDisk)('to a disk that is full say so in one error, and leave no half an archive', async () => {
    const point = file('disk');
    mkdirSync(point);
    await using disk = await smallDisk(point, 1024 * 1024);
    const large = place.context('large', {
      Dockerfile: 'FROM scratch\nCOPY file /\n',
      file: randomBytes(2_000_000).toString('hex'),
    });
    for (const type of ['oci', 'docker', 'tar', 'local']) {
      const dest = join(point, type);
      const tried = await disk.run('env', [
        ...[`TSBUILD_HOME=${place.home}`, process.execPath, commandPath, 'build', '--progress', 'quiet'],
        ...['-o', `type=${type},dest=${dest}`, large],
      ]);
      expect(tried).toMatchObject({
        code: 1,
        stderr: expect.stringContaining(`cannot write ${dest}: no space is left`),
      });
      expect(tried.stderr.match(/error/g)).toHaveLength(1);
      expect((await disk.run('ls', ['-A', point])).text).toBe(type === 'local' ? 'local\n' : '');
    }
  });
});

describe('annotations', () => {
  const platforms = ['--platform', 'linux/amd64,linux/arm64'];

  test('go to manifests, the index and their descriptors, of all platforms or of one', async () => {
    await place.build(context, [
      ...[...platforms, '--annotation', 'plain=1', '--annotation', 'index,manifest:both=2'],
      ...['--annotation', 'manifest[linux/arm64]:arm=3', '--annotation', 'manifest-descriptor:described=4'],
      ...['--annotation', 'index-descriptor:top=5', '-t', 'many:1'],
      ...['-o', `type=oci,dest=${file('many.tar')},annotation.out=6,annotation-index.out=7`],
      ...['-o', `type=oci,dest=${file('other.tar')},annotation-manifest-descriptor[linux/amd64].out=8`],
    ]);
    const [top, ...more] = entries(file('many.tar'));
    expect(more).toEqual([]);
    expect(top?.annotations).toMatchObject({ top: '5' });
    const index = blob(file('many.tar'), top?.digest ?? '');
    expect(index.annotations).toEqual({ both: '2', out: '7' });
    expect(index.manifests.map(({ annotations }) => annotations)).toEqual([{ described: '4' }, { described: '4' }]);
    expect(index.manifests.map(({ digest }) => blob(file('many.tar'), digest).annotations)).toEqual([
      { plain: '1', both: '2', out: '6' },
      { plain: '1', both: '2', arm: '3', out: '6' },
    ]);
    const other = blob(file('other.tar'), entries(file('other.tar'))[0]?.digest ?? '');
    expect(other.manifests.map(({ annotations }) => annotations)).toEqual([
      { described: '4', out: '8' },
      { described: '4' },
    ]);
  });

  test('of an image for one platform go to its manifest and its descriptor', async () => {
    const one = file('one.tar');
    await place.build(context, [
      ...['--annotation', 'manifest:m=1', '--annotation', 'manifest-descriptor:d=2'],
      ...['-o', `type=oci,dest=${one},annotation.out=3`],
    ]);
    const [entry] = entries(one);
    expect(entry?.annotations).toEqual({ d: '2' });
    expect(blob(one, entry?.digest ?? '').annotations).toEqual({ m: '1', out: '3' });
  });
});
