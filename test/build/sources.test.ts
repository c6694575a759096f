/** Where a Dockerfile, a context and what ADD fetches may come from, through the whole program. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allBaseImages } from '../support/base-images.ts';
import type { WebServer } from '../support/context-server.ts';
import { readOciLayout, writeOciLayout } from '../support/image-files.ts';
import {
  committed,
  makeRepository,
  modified,
  type ServedRepository,
  serveFolder,
  writeFiles,
} from '../support/source-server.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { type FlatTree, flatten } from '../support/tree-compare.ts';
import { mustTsbuild, type TsbuildOptions, tsbuild } from '../support/tsbuild.ts';

let folder: TemporaryFolder;
let server: WebServer;
let repository: ServedRepository;

const copyAll = 'FROM scratch\nCOPY . /\n';
const seconds = (date: Date) => date.getTime() / 1000;

beforeAll(async () => {
  folder = temporaryFolder('sources', 0o755);
  writeFiles(folder.join('context'), {
    Dockerfile: copyAll,
    '.dockerignore': 'ignored\n',
    a: 'a\n',
    ignored: '',
    'sub/b': 'b\n',
    'sub/Dockerfile': 'FROM scratch\nCOPY b /from-sub\n',
    'sub/Dockerfile.dockerignore': 'a\n',
    'sub/Other': 'FROM scratch\nCOPY a /other\n',
  });
  writeFiles(folder.join('elsewhere'), {
    Outside: 'FROM scratch\nCOPY . /outside/\n',
    'Outside.dockerignore': '*\n!sub\n',
    Plain: 'FROM scratch\nCOPY . /plain/\n',
  });
  mkdirSync(folder.join('served'));
  const tar = (...args: string[]) => execFileSync('tar', ['-C', folder.join('context'), ...args, '.']);
  writeFileSync(folder.join('served/context.tar'), tar('-c', '--mtime=@1234567890'));
  writeFileSync(folder.join('served/context.tar.gz'), tar('-cz'));
  writeFiles(folder.join('served'), { Dockerfile: 'FROM scratch\nLABEL only=dockerfile\n', 'remote.txt': 'remote\n' });
  repository = makeRepository(folder, folder.join('served'), 'r.git', {
    Dockerfile: copyAll,
    a: 'from git\n',
    'sub/b': 'b\n',
    'sub/Dockerfile': 'FROM scratch\nCOPY . /from-sub/\n',
  });
  writeOciLayout(folder.join('bases'), allBaseImages());
  server = await serveFolder(folder.join('served'));
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

const at = (path: string) => `${server.url}/${path}`;

async function build(args: readonly string[], options: Partial<TsbuildOptions> = {}) {
  const all = ['build', '--progress', 'quiet', '-t', 'built:1', ...args];
  await mustTsbuild(all, { home: folder.join('home'), cwd: folder.path, ...options });
  return readOciLayout(folder.join('home'), 'docker.io/library/built:1');
}

async function treeOf(args: readonly string[], options: Partial<TsbuildOptions> = {}): Promise<FlatTree> {
  return flatten(await build(args, options));
}

/** Builds a Dockerfile from standard input, on an empty directory unless another context is named. */
async function treeFrom(dockerfile: string, args: readonly string[] = [], context = 'elsewhere'): Promise<FlatTree> {
  return await treeOf(['-f', '-', ...args, context], { input: dockerfile });
}

const refused = (args: readonly string[], options: Partial<TsbuildOptions> = {}) =>
  tsbuild(['build', '--progress', 'quiet', ...args], { home: folder.join('home'), cwd: folder.path, ...options });

const files = (tree: FlatTree) => [...tree].flatMap(([path, { type }]) => (type === 'file' ? [path] : [])).sort();
const all = [
  ...['.dockerignore', 'Dockerfile', 'a'],
  ...['sub/Dockerfile', 'sub/Dockerfile.dockerignore', 'sub/Other', 'sub/b'],
];

describe('the Dockerfile', () => {
  test('stands in the context, the ignore file beside it', async () => {
    expect(files(await treeOf(['context']))).toEqual(all);
  });

  test('may be another of the context, which has an ignore file of its own', async () => {
    expect(files(await treeOf(['-f', 'context/sub/Dockerfile', 'context/sub']))).toEqual(['from-sub']);
    const whole = await treeOf(['-f', 'context/sub/Dockerfile', '--build-context', 'x=context', 'context/sub']);
    expect(files(whole)).toEqual(['from-sub']);
  });

  test('may lie outside of the context, with its own ignore file or that of the context', async () => {
    expect(files(await treeOf(['-f', 'elsewhere/Outside', 'context']))).toEqual([
      'outside/sub/Dockerfile',
      'outside/sub/Dockerfile.dockerignore',
      'outside/sub/Other',
      'outside/sub/b',
    ]);
    expect(files(await treeOf(['-f', 'elsewhere/Plain', 'context']))).toEqual(all.map((path) => `plain/${path}`));
  });

  test('may come from standard input, with a context beside it', async () => {
    expect(files(await treeFrom('FROM scratch\nCOPY a /piped\n', [], 'context'))).toEqual(['piped']);
  });

  test('may be an address, for a directory and for a context from elsewhere', async () => {
    writeFiles(folder.join('served'), { 'd/Remote': 'FROM scratch\nCOPY a /remote\n' });
    expect(files(await treeOf(['-f', at('d/Remote'), 'context']))).toEqual(['remote']);
    expect(files(await treeOf(['-f', at('d/Remote'), at('r.git')]))).toEqual(['remote']);
    const missing = await refused(['-f', at('d/None'), 'context']);
    expect(missing.stderr).toMatch(/^error: .*\/d\/None could not be downloaded: .*404.* \[context-fetch-failed\]\n/);
  });

  test('that is an address is named by it in messages, without its password', async () => {
    writeFiles(folder.join('served'), { Broken: 'FROM scratch\nCOPPY a /\n' });
    const address = at('Broken').replace('http://', 'http://user:secret@');
    const { stderr } = await refused(['-f', address, 'context']);
    expect(stderr).toContain(`╭─ ${at('Broken').replace('http://', 'http://***@')}:2:1`);
    expect(stderr).not.toContain('secret');
  });

  test('alone on standard input is a build without a context', async () => {
    const options = { input: 'FROM scratch\nCOPY a /\n' };
    const { stderr, code } = await refused(['-'], options);
    expect(code).toBe(1);
    expect(stderr).toContain('╭─ stdin:2:6\n');
    expect(stderr).toContain('[copy-source-missing]');
    expect((await build(['-'], { input: 'FROM scratch\nLABEL a=b\n' })).config.config?.Labels).toEqual({ a: 'b' });
  });

  test('is looked for in the context where that is none of this machine, and the hint says so', async () => {
    const { stderr } = await refused(['-f', 'context/Dockerfile', at('r.git')]);
    expect(stderr).toContain('hint: Check the path given with -f; it is relative to the context.');
  });
});

describe('the context', () => {
  test.each([
    ['a tar on standard input', 'context.tar'],
    ['a compressed tar on standard input', 'context.tar.gz'],
  ])('may be %s', async (_, name) => {
    const input = readFileSync(folder.join('served', name));
    expect(files(await treeOf(['-'], { input }))).toEqual(all);
    expect(files(await treeOf(['-f', 'sub/Other', '-'], { input }))).toEqual(['other']);
  });

  test('may be an archive at an address', async () => {
    expect(files(await treeOf([at('context.tar.gz')]))).toEqual(all);
  });

  test('may be a Dockerfile at an address', async () => {
    expect((await build([at('Dockerfile')])).config.config?.Labels).toEqual({ only: 'dockerfile' });
  });

  test.each([
    ['', ['Dockerfile', 'a', 'sub/Dockerfile', 'sub/b']],
    ['#main', ['Dockerfile', 'a', 'sub/Dockerfile', 'sub/b']],
    ['#next', ['Dockerfile', 'a', 'later', 'sub/Dockerfile', 'sub/b']],
    ['#main:sub', ['from-sub/Dockerfile', 'from-sub/b']],
    ['#:sub', ['from-sub/Dockerfile', 'from-sub/b']],
    ['?tag=v1&subdir=sub', ['from-sub/Dockerfile', 'from-sub/b']],
    ['?branch=next', ['Dockerfile', 'a', 'later', 'sub/Dockerfile', 'sub/b']],
    ['?ref=refs/tags/v1', ['Dockerfile', 'a', 'sub/Dockerfile', 'sub/b']],
  ])('may be a git repository: r.git%s', async (fragment, expected) => {
    expect(files(await treeOf([`${at('r.git')}${fragment}`]))).toEqual(expected);
  });

  test('from git must be at the commit the address names', async () => {
    const { commit } = repository;
    expect(files(await treeOf([`${at('r.git')}?branch=main&commit=${commit}`]))).toContain('a');
    const other = await refused([`${at('r.git')}?branch=next&commit=${commit}`]);
    expect(other.stderr).toContain('[context-checksum-mismatch]');
  });

  test('from git keeps its .git when the build argument for that says so', async () => {
    const args = ['--build-arg', 'BUILDKIT_CONTEXT_KEEP_GIT_DIR=1', at('r.git')];
    expect(files(await treeOf(args))).toContain('.git/HEAD');
    expect(files(await treeOf([`${at('r.git')}?keep-git-dir=true`]))).toContain('.git/HEAD');
  });
});

describe('a named context', () => {
  const dockerfile = 'FROM scratch\nCOPY --from=other a /\n';

  test.each<[string, () => string, string]>([
    ['a directory', () => 'context', 'a\n'],
    ['a git repository', () => at('r.git'), 'from git\n'],
    ['a git repository at a tag', () => `${at('r.git')}#v1`, 'from git\n'],
    ['an archive at an address', () => at('context.tar.gz'), 'a\n'],
  ])('may be %s', async (_, context, text) => {
    const tree = await treeFrom(dockerfile, ['--build-context', `other=${context()}`]);
    expect(tree.get('a')?.text).toBe(text);
  });

  test('of a directory obeys the ignore file of that directory', async () => {
    const tree = await treeFrom('FROM scratch\nCOPY --from=other . /\n', ['--build-context', 'other=context']);
    expect(files(tree)).not.toContain('ignored');
  });

  test('may be an image in an OCI layout, by tag and by digest', async () => {
    const layout = folder.join('bases');
    const index = JSON.parse(readFileSync(`${layout}/index.json`, 'utf8'));
    const digest = index.manifests.find(
      ({ annotations }: { annotations: Record<string, string> }) =>
        annotations['org.opencontainers.image.ref.name'] === 'layered',
    ).digest;
    for (const suffix of [':layered', `@${digest}`]) {
      const named = ['--build-context', `other=oci-layout://${layout}${suffix}`];
      const tree = await treeFrom('FROM scratch\nCOPY --from=other /data/keep /\n', named);
      expect(tree.get('one')?.text).toBe('one\n');
      expect(files(await treeFrom('FROM other\n', named))).toContain('data/keep/one');
    }
  });

  test('may be an image by its name', async () => {
    await treeFrom('FROM scratch\nCOPY a /stored\n', ['-t', 'stored:1'], 'context');
    const named = ['--build-context', 'other=docker-image://stored:1'];
    expect(files(await treeFrom('FROM other\n', named))).toEqual(['stored']);
    expect(files(await treeFrom('FROM scratch\nCOPY --from=other stored /copied\n', named))).toEqual(['copied']);
  });

  test('takes the place of an image, of a stage, and of both wherever they are named', async () => {
    const image = await treeFrom('FROM alpine:3\n', ['--build-context', 'alpine:3=docker-image://stored:1']);
    expect(files(image)).toEqual(['stored']);
    const stages = 'FROM scratch AS One\nRUN false\nFROM scratch\nCOPY --from=one a /replaced\n';
    expect(files(await treeFrom(stages, ['--build-context', 'one=context']))).toEqual(['replaced']);
    const base = 'FROM scratch AS one\nRUN false\nFROM one\n';
    expect(files(await treeFrom(base, ['--build-context', 'ONE=docker-image://stored:1']))).toEqual(['stored']);
    expect(files(await treeFrom(base, ['--target', 'one', '--build-context', 'one=context']))).toContain('sub/b');
  });

  test.each([
    ['alpine', 'alpine:latest'],
    ['alpine:latest', 'docker.io/library/alpine'],
    ['docker.io/library/alpine', 'alpine'],
    ['host.example:5000/a/b', 'host.example:5000/a/b:latest'],
    ['alpine::linux/amd64', 'alpine'],
  ])('%s is the image %s', async (name, reference) => {
    const args = ['--platform', 'linux/amd64', '--build-context', `${name}=docker-image://stored:1`];
    expect(files(await treeFrom(`FROM ${reference}\n`, args))).toEqual(['stored']);
  });

  test('for a platform counts for that one alone, and scratch is an empty image', async () => {
    const args = ['--platform', 'linux/amd64', '--build-context', 'alpine=docker-image://scratch'];
    const other = ['--build-context', 'alpine::linux/arm64=docker-image://stored:1'];
    expect(files(await treeFrom('FROM alpine\n', [...args, ...other]))).toEqual([]);
    expect(files(await treeFrom('FROM scratch\nCOPY --from=alpine / /\n', args))).toEqual([]);
  });

  test('that is a directory may be a base: its files are the first layer', async () => {
    const tree = await treeFrom('FROM other\nCOPY Plain /\n', ['--build-context', 'other=context']);
    expect(files(tree)).toContain('Plain');
    expect(tree.get('sub/b')?.text).toBe('b\n');
  });

  test('may be mounted', async () => {
    const dockerfileText = 'FROM base\nRUN --mount=from=other,target=/other cp /other/a /mounted\n';
    const named = [
      '--build-context',
      'other=context',
      '--build-context',
      `base=oci-layout://${folder.join('bases')}:base`,
    ];
    expect((await treeFrom(dockerfileText, named)).get('mounted')?.text).toBe('a\n');
  });
});

describe('ADD', () => {
  const sha256 = () => createHash('sha256').update('remote\n').digest('hex');

  test('from an address gives a file of root with mode 600 and the time the server says', async () => {
    const tree = await treeFrom(`FROM scratch\nADD ${at('remote.txt')} /folder/\nADD ${at('remote.txt')} /renamed\n`);
    const expected = { mode: '0600', uid: 0, gid: 0, text: 'remote\n', mtime: seconds(modified) };
    expect(tree.get('folder/remote.txt')).toMatchObject(expected);
    expect(tree.get('renamed')).toMatchObject(expected);
  });

  test('from an address takes --chmod and --chown, and variables in the address', async () => {
    const tree = await treeFrom(
      `FROM scratch\nARG NAME=remote\nADD --chmod=0755 --chown=5 ${server.url}/$NAME.txt /x\n`,
    );
    expect(tree.get('x')).toMatchObject({ mode: '0755', uid: 5, gid: 5 });
  });

  test('checks what it fetched against --checksum', async () => {
    const add = (digest: string) => `FROM scratch\nADD --checksum=sha256:${digest} ${at('remote.txt')} /x\n`;
    expect((await treeFrom(add(sha256()))).get('x')?.text).toBe('remote\n');
    const { stderr } = await refused(['-f', '-', 'elsewhere'], { input: add('0'.repeat(64)) });
    expect(stderr).toContain('[context-checksum-mismatch]');
  });

  test('unpacks an archive from an address only when it is told to', async () => {
    const packed = await treeFrom(`FROM scratch\nADD ${at('context.tar.gz')} /x/\n`);
    expect(files(packed)).toEqual(['x/context.tar.gz']);
    const unpacked = await treeFrom(`FROM scratch\nADD --unpack=true ${at('context.tar.gz')} /x/\n`);
    expect(unpacked.get('x/sub/b')?.text).toBe('b\n');
  });

  test.each([
    ['r.git', ['x/Dockerfile', 'x/a', 'x/sub/Dockerfile', 'x/sub/b']],
    ['r.git#next', ['x/Dockerfile', 'x/a', 'x/later', 'x/sub/Dockerfile', 'x/sub/b']],
    ['r.git#v1:sub', ['x/Dockerfile', 'x/b']],
    ['r.git?branch=next&subdir=sub', ['x/Dockerfile', 'x/b']],
    ['r.git?tag=v1&submodules=false', ['x/Dockerfile', 'x/a', 'x/sub/Dockerfile', 'x/sub/b']],
  ])('takes a git repository: %s', async (address, expected) => {
    const tree = await treeFrom(`FROM scratch\nADD ${at(address)} /x\n`);
    expect(files(tree)).toEqual(expected);
    expect(tree.get(expected[0] ?? '')?.mtime).toBe(seconds(committed));
  });

  test('keeps .git when it is told to, by the flag or by the address', async () => {
    for (const add of [
      `--keep-git-dir=true ${at('r.git')}`,
      `--keep-git-dir ${at('r.git')}`,
      `${at('r.git?keep-git-dir=1')}`,
    ]) {
      expect(files(await treeFrom(`FROM scratch\nADD ${add} /x\n`)), add).toContain('x/.git/HEAD');
    }
  });

  test('checks the commit of a repository against --checksum', async () => {
    const add = (ref: string) => `FROM scratch\nADD --checksum=${repository.commit} ${at(`r.git#${ref}`)} /x\n`;
    expect(files(await treeFrom(add('main')))).toContain('x/a');
    const { stderr } = await refused(['-f', '-', 'elsewhere'], { input: add('next') });
    expect(stderr).toContain('[context-checksum-mismatch]');
  });
});

describe('the time of a build', () => {
  const epochOf = async (dockerfile: string, args: readonly string[], env: Record<string, string> = {}) => {
    const image = await build(['-f', '-', ...args], { input: dockerfile, env });
    return [image.config.created, image.config.config?.Env];
  };
  const plain = 'FROM scratch\nARG SOURCE_DATE_EPOCH\nENV E=$SOURCE_DATE_EPOCH\n';
  const env = (value: string) => expect.arrayContaining([`E=${value}`]);

  test('is SOURCE_DATE_EPOCH of the command line, else of the environment, else of the Dockerfile', async () => {
    const given = ['--build-arg', 'SOURCE_DATE_EPOCH=3', 'elsewhere'];
    const own = `ARG SOURCE_DATE_EPOCH=1\n${plain}`;
    expect(await epochOf(own, given, { SOURCE_DATE_EPOCH: '2' })).toEqual(['1970-01-01T00:00:03Z', env('3')]);
    expect(await epochOf(own, ['elsewhere'], { SOURCE_DATE_EPOCH: '2' })).toEqual(['1970-01-01T00:00:02Z', env('2')]);
    expect(await epochOf(own, ['elsewhere'])).toEqual(['1970-01-01T00:00:01Z', env('1')]);
  });

  test('may be that of the context: a commit, a server, the newest entry of an archive', async () => {
    const asked = ['--build-arg', 'SOURCE_DATE_EPOCH=context'];
    const time = (date: Date) => date.toISOString().replace('.000Z', 'Z');
    expect(await epochOf(plain, [...asked, at('r.git')])).toEqual([time(committed), env(`${seconds(committed)}`)]);
    expect(await epochOf(plain, [...asked, at('context.tar')])).toEqual([time(modified), env(`${seconds(modified)}`)]);
    expect(await epochOf(plain, [...asked, at('untimed/context.tar')])).toEqual([
      time(new Date(1_234_567_890_000)),
      env('1234567890'),
    ]);
    expect((await epochOf(plain, [...asked, 'elsewhere']))[1]).toEqual(env(''));
  });

  test('that makes no sense is named with its line', async () => {
    const { stderr } = await refused(['-f', '-', 'elsewhere'], { input: 'ARG SOURCE_DATE_EPOCH=soon\nFROM scratch\n' });
    expect(stderr).toContain('error: SOURCE_DATE_EPOCH is "soon": neither seconds since 1970 nor context');
    expect(stderr).toContain('╭─ stdin:1:1');
  });
});
