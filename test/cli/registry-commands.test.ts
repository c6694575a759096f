import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from '../support/command.ts';
import { readOciLayout } from '../support/image-files.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { mustTsbuild, tsbuild } from '../support/tsbuild.ts';

let folder: TemporaryFolder;
let registry: TestRegistry;

const must = (...args: string[]) => mustTsbuild(args, { home: folder.join('home'), cwd: folder.path });
const any = (...args: string[]) => tsbuild(args, { home: folder.join('home'), cwd: folder.path });
const name = (path: string) => `${registry.host}/${path}`;

beforeAll(async () => {
  folder = temporaryFolder('registry-commands');
  registry = await startRegistry();
  mkdirSync(folder.join('context'));
  writeFileSync(
    folder.join('context/Dockerfile'),
    'FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\nCOPY Dockerfile /\n',
  );
  for (const arch of ['amd64', 'arm64']) {
    await must('-q', '--platform', `linux/${arch}`, '-t', name(`team/app:${arch}`), '--push', 'context');
  }
  await must('index', 'create', name('team/app:all'), name('team/app:amd64'), name('team/app:arm64'));
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

describe('reading a registry', () => {
  test('lists tags and repositories', async () => {
    expect((await must('ls', name('team/app'))).text.split('\n').sort()).toEqual(['', 'all', 'amd64', 'arm64']);
    expect(JSON.parse((await must('tags', '--format', 'json', name('team/app'))).text).sort()).toEqual([
      'all',
      'amd64',
      'arm64',
    ]);
    expect((await must('catalog', registry.host)).text).toContain('team/app\n');
  });

  test('prints the digest of a name and exactly the bytes it is of', async () => {
    const digest = (await must('digest', name('team/app:all'))).text.trim();
    const bytes = (await must('manifest', name('team/app:all'))).stdout;
    expect(`sha256:${createHash('sha256').update(bytes).digest('hex')}`).toBe(digest);
    expect((await must('digest', '--platform', 'linux/arm64', name('team/app:all'))).text).toBe(
      (await must('digest', name('team/app:arm64'))).text,
    );
  });

  test('inspects an image where it is, and brings nothing here', async () => {
    const { text } = await must('inspect', '--platform', 'linux/arm64', `docker://${name('team/app:all')}`);
    const [image] = JSON.parse(text);
    expect(image).toMatchObject({
      RepoTags: [name('team/app:all')],
      Architecture: 'arm64',
      Platforms: ['linux/amd64', 'linux/arm64'],
      Config: { Labels: { arch: 'arm64' } },
    });
    await must('copy', '-q', name('team/app:amd64'), 'oci:inspected:1');
    expect((await must('inspect', '-f', '{{.Config.Labels.arch}}', 'oci:inspected:1')).text).toBe('amd64\n');
    expect((await any('inspect', name('team/app:all'))).stderr).toContain('[image-not-found]');
  });

  test('takes an address for a registry, not for an image of Docker Hub', async () => {
    const finished = await any('ls', registry.host);
    expect([finished.code, finished.stderr]).toEqual([2, expect.stringContaining(`catalog ${registry.host}`)]);
  });

  test('names the platforms there are when one is missing', async () => {
    const finished = await any('digest', '--platform', 'linux/s390x', name('team/app:all'));
    expect(finished.code).toBe(1);
    expect(finished.stderr).toContain('it has linux/amd64, linux/arm64');
  });
});

describe('an index', () => {
  test('joins images and is read by others', async () => {
    const { text } = await must('index', 'inspect', name('team/app:all'));
    expect(text).toMatch(/^linux\/amd64 +sha256:\S+ +image$/m);
    const raw = JSON.parse(
      (await run('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${name('team/app:all')}`])).text,
    );
    expect(raw.manifests.map((item: { platform: { architecture: string } }) => item.platform.architecture)).toEqual([
      'amd64',
      'arm64',
    ]);
  });

  test('takes images of another repository, loses platforms, and gets more', async () => {
    await must('index', 'create', name('other/app:1'), name('team/app:amd64'));
    await must('index', 'append', name('other/app:1'), name('team/app:all'));
    expect((await must('index', 'inspect', name('other/app:1'))).text).toContain('linux/arm64');
    await must('index', 'filter', name('other/app:1'), '--platform', 'linux/arm64', '-t', name('other/app:small'));
    expect((await must('index', 'inspect', name('other/app:small'))).text).not.toContain('linux/amd64');
    expect((await must('pull', '--platform', 'linux/arm64', name('other/app:small'))).code).toBe(0);
  });

  test('keeps what is said of the images it has, behind them, and of no others', async () => {
    for (const arch of ['amd64', 'arm64']) {
      const words = ['-q', '--platform', `linux/${arch}`, '-t', name(`said/app:${arch}`), '--provenance=mode=min'];
      await must(...words, '--push', 'context');
    }
    const kinds = async (tag: string) => {
      const { text } = await must('index', 'inspect', name(`said/app:${tag}`));
      return text.match(/(linux\/\w+|attestation-manifest)/g);
    };
    await must('index', 'create', name('said/app:all'), name('said/app:amd64'), name('said/app:arm64'));
    const said = 'attestation-manifest';
    expect(await kinds('all')).toEqual(['linux/amd64', 'linux/arm64', said, said]);
    await must('index', 'filter', name('said/app:all'), '--platform', 'linux/arm64', '-t', name('said/app:small'));
    expect(await kinds('small')).toEqual(['linux/arm64', said]);
    const other = ['-q', '--platform', 'linux/amd64', '-t', name('said/app:other'), '--label', 'other=1', '--push'];
    await must(...other, 'context');
    await must('index', 'append', name('said/app:all'), name('said/app:other'));
    expect(await kinds('all')).toEqual(['linux/amd64', 'linux/arm64', said]);
  });

  test('is pulled for one platform, or for all', async () => {
    const elsewhere = (...args: string[]) => mustTsbuild(args, { home: folder.join('elsewhere') });
    await elsewhere('pull', '--platform', 'linux/arm64', name('team/app:all'));
    const format = '{{.Architecture}} {{.Config.Labels.arch}}';
    expect((await elsewhere('inspect', '-f', format, name('team/app:all'))).text).toBe('arm64 arm64\n');
    await elsewhere('pull', '--all-platforms', name('team/app:all'));
    const amd64 = await elsewhere('inspect', '--platform', 'linux/amd64', '-f', format, name('team/app:all'));
    expect(amd64.text).toBe('amd64 amd64\n');
  });

  test('is a base for each of its platforms', async () => {
    writeFileSync(folder.join('Derived'), `FROM ${name('team/app:all')}\nLABEL derived=yes\n`);
    await must(
      '-q',
      '-f',
      'Derived',
      '-t',
      name('team/derived:1'),
      '--platform',
      'linux/amd64,linux/arm64',
      '--push',
      'context',
    );
    expect((await must('index', 'inspect', name('team/derived:1'))).text).toContain('linux/arm64');
  });
});

describe('copy', () => {
  test('brings one platform, or everything, from registry to registry', async () => {
    await must('copy', '-q', '--platform', 'linux/arm64', name('team/app:all'), name('copies/one:1'));
    expect((await must('digest', name('copies/one:1'))).text).toBe((await must('digest', name('team/app:arm64'))).text);
    await must('copy', '-q', '-a', name('team/app:all'), name('copies/all:1'));
    expect((await must('digest', name('copies/all:1'))).text).toBe((await must('digest', name('team/app:all'))).text);
  });

  test('goes to a layout and from there to the store and a registry', async () => {
    await must('copy', '-q', '--platform', 'linux/amd64', name('team/app:all'), 'oci:layout:v1');
    expect(readOciLayout(folder.join('layout'), 'v1').config.config).toMatchObject({ Labels: { arch: 'amd64' } });
    await must('copy', '-q', 'oci:layout:v1', 'store://copied:1');
    expect((await must('inspect', '-f', '{{.Config.Labels.arch}}', 'copied:1')).text).toBe('amd64\n');
    await must('copy', '-q', 'oci:layout:v1', name('copies/back:1'));
    expect((await must('digest', name('copies/back:1'))).text).toBe(
      (await must('digest', name('team/app:amd64'))).text,
    );
  });
});

describe('delete', () => {
  test('takes off a digest with its tags, and wants to be told which', async () => {
    await must('copy', '-q', name('team/app:amd64'), name('gone/app:1'));
    expect((await any('delete', name('gone/app'))).code).toBe(2);
    const digest = (await must('digest', name('gone/app:1'))).text.trim();
    expect((await must('delete', `${name('gone/app')}@${digest}`)).text).toMatch(/^Deleted: /);
    expect((await any('digest', name('gone/app:1'))).stderr).toContain('[registry-not-found]');
  });
});

describe('the store', () => {
  test('tells how an image was made, how large it is, and that it is whole', async () => {
    await must('-q', '-t', 'local:1', 'context');
    expect((await must('history', '--format', '{{.CreatedBy}}', 'local:1')).text).toMatch(
      /^COPY Dockerfile \/.*\nLABEL arch=/,
    );
    expect((await must('df')).text).toMatch(/^TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE\nImages +/);
    expect((await must('df', '-v')).text).toMatch(/^local:1 +[0-9a-f]{12} /m);
    expect((await must('store', 'check')).text).toContain('Nothing is damaged\n');
    expect((await must('prune', '-a')).text).toMatch(/^Total reclaimed space: /m);
    expect((await must('inspect', '-f', '{{.Os}}', 'local:1')).text).toBe('linux\n');
  });

  test('names what is damaged and exits with 1', async () => {
    await must('-q', '-t', 'hurt:1', 'context');
    const id = (await must('inspect', '-f', '{{index .RootFS.Layers 0}}', 'hurt:1')).text.trim();
    const path = folder.join('home/blobs/sha256', id.slice(7));
    await run('chmod', ['u+w', path]);
    writeFileSync(path, 'x');
    const finished = await any('store', 'check');
    expect(finished.code).toBe(1);
    expect(finished.text).toContain(`damaged, dropped: ${id}`);
  });
});

test('doctor tries every rung and says what is there', async () => {
  const { rungs: reports, machine } = JSON.parse((await must('doctor', '--format', 'json')).text) as {
    rungs: { rung: string; available: boolean }[];
    machine: { about: string; what: string }[];
  };
  expect(new Set(machine.map(({ about }) => about))).toEqual(
    new Set(['kernel', 'userns', 'owners', 'limits', 'network', 'programs']),
  );
  expect(reports.map((report) => report.rung)).toEqual(['root', 'userns', 'chroot', 'none']);
  const { text } = await must('doctor');
  expect(text).toMatch(/^Isolation +(root|userns|chroot|none)$/m);
});

describe('an artifact', () => {
  test('of a large file goes there and back with its progress and nothing else on stderr', async () => {
    writeFileSync(folder.join('large.bin'), randomBytes(3_000_000));
    const pushed = await must('artifact', 'push', name('files:1'), 'large.bin', '--progress', 'plain');
    expect(pushed.text).toMatch(/^\S+\/files:1@sha256:[0-9a-f]{64}\n$/);
    expect(pushed.stderr).toMatch(/3MB \/ 3MB .*done/);
    const pulled = await must('artifact', 'pull', name('files:1'), '-o', 'there', '--progress', 'plain');
    expect(pulled.text).toBe('there/large.bin\n');
    expect(pulled.stderr).toMatch(/^(#1 .*\n)+$/);
    expect(readFileSync(folder.join('there/large.bin'))).toEqual(readFileSync(folder.join('large.bin')));
  });

  test('of nothing is refused', async () => {
    const finished = await any('artifact', 'push', name('files:2'));
    expect([finished.code, finished.stderr]).toEqual([2, expect.stringContaining('nothing to put there')]);
  });
});
