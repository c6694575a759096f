import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkoutGit, type GitAddress, openContext, parseGitAddress } from '../../../src/builder/context/index.ts';
import { fetchOperand, remoteSource } from '../../../src/builder/copy/index.ts';
import { bytePathFromText } from '../../../src/core/index.ts';
import { serve, type WebServer } from '../../support/context-server.ts';
import { type Folder, folderOf } from '../../support/copy-trees.ts';

const { signal } = new AbortController();

describe('an address', () => {
  const base = {
    ref: undefined,
    subdir: '',
    checksum: undefined,
    keepGitDir: undefined,
    submodules: true,
    fileTimes: 'commit',
  };

  test.each<[string, Partial<GitAddress> | undefined]>([
    ['https://example.com/', undefined],
    ['https://example.com/foo', undefined],
    ['https://example.com/foo.git', { remote: 'https://example.com/foo.git' }],
    ['https://example.com/foo.git#deadbeef', { remote: 'https://example.com/foo.git', ref: 'deadbeef' }],
    ['https://example.com/foo.git#release/1.2', { remote: 'https://example.com/foo.git', ref: 'release/1.2' }],
    ['https://example.com/foo.git/', undefined],
    ['https://example.com/foo.git.bar', undefined],
    ['git://example.com/foo', { remote: 'git://example.com/foo' }],
    [
      'ssh://git@example.com:22/foo',
      { remote: 'ssh://git@example.com:22/foo', description: 'ssh://***@example.com:22/foo' },
    ],
    ['ftp://example.com/foo.git', undefined],
    ['file:///srv/foo.git', undefined],
    ['custom.xyz/moby/buildkit.git', undefined],
    ['https://github.com/moby/buildkit', undefined],
    ['git@github.com:moby/buildkit', { remote: 'git@github.com:moby/buildkit' }],
    ['git@host.org:a/b.git#v1:sub', { remote: 'git@host.org:a/b.git', ref: 'v1', subdir: 'sub' }],
    ['git@host.org:a/b.git?subdir=/s#v1', { remote: 'git@host.org:a/b.git', ref: 'v1', subdir: 's' }],
    ['https://h/b.git#baz/qux:quux/quuz', { remote: 'https://h/b.git', ref: 'baz/qux', subdir: 'quux/quuz' }],
    ['https://h/b.git#:folder', { remote: 'https://h/b.git', subdir: 'folder' }],
    ['https://h/b.git#main:../../etc', { remote: 'https://h/b.git', ref: 'main', subdir: 'etc' }],
    ['./.git', undefined],
    ['.git', undefined],
    ['src/a.txt', undefined],
    ['https://h/b.git?ref=v1.0.0&subdir=/subdir', { remote: 'https://h/b.git', ref: 'v1.0.0', subdir: 'subdir' }],
    ['https://h/b.git?tag=v1', { remote: 'https://h/b.git', ref: 'refs/tags/v1' }],
    ['https://h/b.git?branch=v1', { remote: 'https://h/b.git', ref: 'refs/heads/v1' }],
    ['https://h/b.git?commit=0123456789', { remote: 'https://h/b.git', checksum: '0123456789' }],
    [
      'https://h/b.git?keep-git-dir=1&submodules=false',
      { remote: 'https://h/b.git', keepGitDir: true, submodules: false },
    ],
    ['https://h/b.git?keep-git-dir', { remote: 'https://h/b.git', keepGitDir: true }],
    ['https://h/b.git?mtime=checkout', { remote: 'https://h/b.git', fileTimes: 'checkout' }],
  ])('%s', (text, expected) => {
    const found = parseGitAddress(text);
    if (expected === undefined) expect(found).toBeUndefined();
    else expect(found).toEqual({ ...base, description: expected.remote, ...expected });
  });

  test('without a scheme counts for contexts on github.com alone', () => {
    expect(parseGitAddress('github.com/moby/buildkit#master', { allowBareGithub: true })).toMatchObject({
      remote: 'https://github.com/moby/buildkit',
      ref: 'master',
    });
    expect(parseGitAddress('github.com/moby/buildkit')).toBeUndefined();
  });

  test.each([
    'https://h/b.git?ref=v1#v2',
    'https://h/b.git?ref=v1&tag=v2',
    'https://h/b.git?tag=v1&branch=v1',
    'https://h/b.git?mtime=never',
    'https://h/b.git?invalid=1',
    'https://h/b.git?ref=',
    'https://h/b.git?ref=a&ref=b',
    'https://h/b.git?subdir=a#main:b',
    'https://h/b.git?commit=--upload-pack',
    'https://h/b.git#--upload-pack=touch',
    'https://h/b.git#a..b',
    'https://h/b.git#a b',
    'https://h/b.git#a\n',
    'https://-oProxyCommand=x/b.git',
    'ssh://-oProxyCommand=x/b',
    'ssh://git@-oProxyCommand=x/b',
    '-u@host:path',
    'git@-host:path',
  ])('%j is refused', (text) => {
    expect(() => parseGitAddress(text)).toThrow(expect.objectContaining({ code: 'context-git-invalid' }));
  });

  test('shows no credentials', () => {
    expect(parseGitAddress('https://user:secret@h/b.git')?.description).toBe('https://***@h/b.git');
    expect(() => parseGitAddress('https://user:secret@h/b.git?x=1')).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('secret') }),
    );
  });
});

const when = '2001-02-03T04:05:06Z';
const identity = { GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@b', GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@b' };

function git(cwd: string, ...args: string[]): string {
  const env = {
    PATH: '/usr/bin:/bin',
    HOME: '/nonexistent',
    GIT_AUTHOR_DATE: when,
    GIT_COMMITTER_DATE: when,
    ...identity,
  };
  return execFileSync('git', ['-c', 'protocol.file.allow=always', ...args], { cwd, env, encoding: 'utf8' }).trim();
}

/** A repository with a branch, a tag, a submodule, an executable and a link, as a bare one under `served/`. */
function repository(): Folder & { readonly commit: string } {
  const folder = folderOf({
    'work/Dockerfile': 'FROM scratch\n',
    'work/sub/f': 'in sub',
    'work/run.sh': { mode: 0o755 },
    'inner/g': 'submodule',
  });
  git(folder.at('inner'), 'init', '-q', '-b', 'main');
  git(folder.at('inner'), 'add', '.');
  git(folder.at('inner'), 'commit', '-qm', 'inner');
  const work = folder.at('work');
  symlinkSync('../../../etc', join(work, 'evil'));
  git(work, 'init', '-q', '-b', 'main');
  git(work, 'add', '.');
  git(work, 'commit', '-qm', 'one');
  git(work, 'tag', '-a', 'v1', '-m', 'v1');
  const commit = git(work, 'rev-parse', 'HEAD');
  git(work, 'checkout', '-q', '-b', 'feature/x');
  writeFileSync(join(work, 'feature'), '');
  git(work, 'add', '.');
  git(work, 'commit', '-qm', 'two');
  git(work, 'checkout', '-q', 'main');
  mkdirSync(folder.at('served'));
  git(folder.path, 'clone', '-q', '--bare', work, 'served/r.git');
  git(folder.at('served/r.git'), 'update-server-info');
  mkdirSync(folder.at('tmp'));
  return { ...folder, commit };
}

/** git's plain http protocol: the files of a bare repository. */
function gitServer(folder: Folder): Promise<WebServer> {
  return serve((request, response) => {
    const path = folder.at(`served/${normalize(`/${new URL(request.url ?? '/', 'http://x').pathname}`)}`);
    if (existsSync(path) && lstatSync(path).isFile()) response.end(readFileSync(path));
    else response.writeHead(404).end();
  });
}

describe('a git repository as the build context', () => {
  test('gives the files of its commit with times and modes of their own, and no .git', async () => {
    using folder = repository();
    await using server = await gitServer(folder);
    const source = { kind: 'git', url: `${server.url}/r.git` } as const;
    {
      await using context = await openContext(source, { temporary: folder.at('tmp'), signal });
      expect(context.commit).toBe(folder.commit);
      const tree = await context.tree();
      const entries = tree.list(bytePathFromText(''));
      expect(entries.map((entry) => [entry.path, entry.kind, entry.mode])).toEqual([
        ['Dockerfile', 'file', 0o644],
        ['evil', 'symlink', 0o777],
        ['run.sh', 'file', 0o755],
        ['sub', 'directory', 0o755],
      ]);
      expect(new Set(entries.map((entry) => entry.mtime))).toEqual(new Set([BigInt(Date.parse(when)) * 1_000_000n]));
    }
    expect(readdirSync(folder.at('tmp'))).toEqual([]);
  });

  test.each([
    ['main', 'Dockerfile', true],
    ['v1', 'feature', false],
    ['refs/tags/v1', 'Dockerfile', true],
    ['feature/x', 'feature', true],
    ['COMMIT', 'Dockerfile', true],
    ['SHORT', 'Dockerfile', true],
  ])('at %s', async (ref, file, isThere) => {
    using folder = repository();
    await using server = await gitServer(folder);
    const name = ref.replace('COMMIT', folder.commit).replace('SHORT', folder.commit.slice(0, 10));
    const source = { kind: 'git', url: `${server.url}/r.git#${name}` } as const;
    await using context = await openContext(source, { temporary: folder.at('tmp'), signal });
    expect((await context.readFile(file, 1000)) !== undefined).toBe(isThere);
  });

  test('may be a subdirectory, whose links lead no further than the repository', async () => {
    using folder = repository();
    await using server = await gitServer(folder);
    const open = (subdir: string) =>
      openContext({ kind: 'git', url: `${server.url}/r.git#main:${subdir}` }, { temporary: folder.at('tmp'), signal });
    await using context = await open('sub');
    expect((await context.readFile('f', 100))?.toString()).toBe('in sub');
    await expect(open('evil')).rejects.toMatchObject({ code: 'context-invalid' });
    await expect(open('none')).rejects.toMatchObject({ code: 'context-invalid' });
    expect(readdirSync(folder.at('tmp'))).toHaveLength(1);
  });

  test('that is not there is an error without credentials, and leaves nothing behind', async () => {
    using folder = repository();
    await using server = await gitServer(folder);
    const url = `${server.url.replace('//', '//me:secret@')}/none.git`;
    const failure = openContext({ kind: 'git', url }, { temporary: folder.at('tmp'), signal });
    await expect(failure).rejects.toMatchObject({
      code: 'context-git-failed',
      message: expect.not.stringContaining('secret'),
    });
    expect(readdirSync(folder.at('tmp'))).toEqual([]);
  });

  test('must be at the commit it names', async () => {
    using folder = repository();
    await using server = await gitServer(folder);
    const open = (commit: string) =>
      openContext(
        { kind: 'git', url: `${server.url}/r.git?commit=${commit}#main` },
        { temporary: folder.at('tmp'), signal },
      );
    await expect(open('0123456789abcdef')).rejects.toMatchObject({ code: 'context-checksum-mismatch' });
    await using context = await open(folder.commit.slice(0, 12));
    expect(context.commit).toBe(folder.commit);
  });
});

describe('a hostile repository', () => {
  test('runs no hook and no filter, and reads no configuration of the user', async () => {
    using folder = repository();
    const work = folder.at('work');
    writeFileSync(join(work, '.gitattributes'), '* filter=evil\n');
    git(work, 'add', '.');
    git(work, 'commit', '-qm', 'three');
    git(folder.at('served/r.git'), 'fetch', '-q', work, 'main:main');
    git(folder.at('served/r.git'), 'update-server-info');
    mkdirSync(folder.at('home'));
    writeFileSync(folder.at('home/.gitconfig'), `[filter "evil"]\n\tsmudge = touch ${folder.at('pwned')}\n`);
    await using server = await gitServer(folder);
    const address = parseGitAddress(`${server.url}/r.git`);
    if (!address) throw new Error('no address');
    const environment = { HOME: folder.at('home') };
    await using checkout = await checkoutGit(address, { temporary: folder.at('tmp'), signal, environment });
    expect(existsSync(join(checkout.folder, '.gitattributes'))).toBe(true);
    expect(existsSync(folder.at('pwned'))).toBe(false);
  });

  test('cannot name submodules of this machine', async () => {
    using folder = repository();
    const work = folder.at('work');
    git(work, 'submodule', '--quiet', 'add', folder.at('inner'), 'inner');
    git(work, 'commit', '-qm', 'submodule');
    git(folder.at('served/r.git'), 'fetch', '-q', work, 'main:main');
    git(folder.at('served/r.git'), 'update-server-info');
    await using server = await gitServer(folder);
    const address = parseGitAddress(`${server.url}/r.git`);
    if (!address) throw new Error('no address');
    await expect(checkoutGit(address, { temporary: folder.at('tmp'), signal })).rejects.toMatchObject({
      code: 'context-git-failed',
      message: expect.stringContaining('submodule'),
    });
    const allowed = { temporary: folder.at('tmp'), signal, protocols: ['file'] };
    await using checkout = await checkoutGit(address, allowed);
    expect(readFileSync(join(checkout.folder, 'inner/g'), 'utf8')).toBe('submodule');
    expect(existsSync(join(checkout.folder, 'inner/.git'))).toBe(false);
    await using without = await checkoutGit({ ...address, submodules: false }, { temporary: folder.at('tmp'), signal });
    expect(readdirSync(join(without.folder, 'inner'))).toEqual([]);
  });
});

describe('ADD of a repository', () => {
  test('keeps .git when asked, without the credentials it was fetched with', async () => {
    using folder = repository();
    await using server = await gitServer(folder);
    const source = remoteSource(`${server.url.replace('//', '//me:secret@')}/r.git#main`);
    if (!source) throw new Error('no source');
    const options = { temporary: folder.at('tmp'), signal, keepGitDir: true };
    await using fetched = await fetchOperand(source, options);
    if (fetched.operand.kind !== 'tree') throw new Error('no tree');
    const config = await fetched.operand.tree.readFile(bytePathFromText('.git/config'), 10_000);
    expect(config?.toString()).toContain('***@127.0.0.1');
    expect(config?.toString()).not.toContain('secret');
    expect(fetched.identity).toContain(folder.commit);
  });

  test('fails when its flags contradict the address', async () => {
    using folder = repository();
    const source = remoteSource('https://h.invalid/r.git?keep-git-dir=false');
    if (!source) throw new Error('no source');
    const options = { temporary: folder.at('tmp'), signal, keepGitDir: true };
    await expect(fetchOperand(source, options)).rejects.toMatchObject({ code: 'context-git-invalid' });
  });
});
