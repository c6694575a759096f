/** Secrets that open private sources: they work wherever a source can stand, and reach nobody but the host they are for. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from '../support/command.ts';
import { readOciLayout } from '../support/image-files.ts';
import { type PrivateServer, type PrivateServerOptions, servePrivate } from '../support/private-server.ts';
import { makeRepository, writeFiles } from '../support/source-server.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { flatten } from '../support/tree-compare.ts';
import { tsbuild } from '../support/tsbuild.ts';

const canary = 'canary-3f9a51';
const basic = `basic ${Buffer.from(`x-access-token:${canary}`).toString('base64')}`;
const header = `Custom key="${canary}"`;
const bearer = `Bearer ${canary}`;

let folder: TemporaryFolder;

beforeAll(() => {
  folder = temporaryFolder('private', 0o755);
  mkdirSync(folder.join('served'));
  const files = { Dockerfile: 'FROM scratch\nCOPY a /\n', a: 'from git\n' };
  makeRepository(folder, folder.join('served'), 'r.git', files);
  writeFiles(folder.join('served'), { 'remote.txt': 'remote\n', 'Dockerfile.remote': 'FROM scratch\nCOPY a /\n' });
  writeFiles(folder.join('context'), { a: 'a\n' });
  const tar = execFileSync('tar', ['-C', folder.join('work-r.git'), '-c', 'Dockerfile', 'a']);
  writeFileSync(folder.join('served/context.tar'), tar);
  writeFileSync(folder.join('token'), `${canary}\n`);
});
afterAll(async () => {
  await folder?.[Symbol.asyncDispose]();
});

const serving = (options: PrivateServerOptions = {}): Promise<PrivateServer> =>
  servePrivate(folder.join('served'), options);

/** @param secrets IDs, each with its value */
async function build(
  args: readonly string[],
  secrets: Readonly<Record<string, string>>,
  options: { readonly dockerfile?: string; readonly path?: string } = {},
) {
  const env = Object.fromEntries(Object.values(secrets).map((value, index) => [`SECRET_${index}`, value]));
  const flags = Object.keys(secrets).flatMap((id, index) => ['--secret', `id=${id},env=SECRET_${index}`]);
  const { dockerfile, path } = options;
  const input = dockerfile === undefined ? [] : ['-f', '-'];
  return await tsbuild(['build', '--progress', 'plain', '-t', 'built:1', ...flags, ...input, ...args], {
    home: folder.join('home'),
    cwd: folder.path,
    env: { ...env, ...(path !== undefined && { PATH: path }) },
    ...(dockerfile !== undefined && { input: dockerfile }),
  });
}

async function textOfA(args: Parameters<typeof build>): Promise<string | undefined> {
  const finished = await build(...args);
  expect(finished.code, finished.stderr).toBe(0);
  return flatten(readOciLayout(folder.join('home'), 'docker.io/library/built:1')).get('a')?.text;
}

const hostOf = ({ port }: PrivateServer) => `127.0.0.1:${port}`;

describe('a private repository', () => {
  test.each<[string, (host: string) => Record<string, string>, string]>([
    ['a token', () => ({ GIT_AUTH_TOKEN: canary }), basic],
    ['a token for its host', (host) => ({ [`GIT_AUTH_TOKEN.${host}`]: canary }), basic],
    ['a header', () => ({ GIT_AUTH_HEADER: header }), header],
    ['a header for its host', (host) => ({ [`GIT_AUTH_HEADER.${host}`]: header }), header],
    [
      'a token for its host before a header for any',
      (host) => ({ GIT_AUTH_HEADER: 'x', [`GIT_AUTH_TOKEN.${host}`]: canary }),
      basic,
    ],
    ['a header before a token', () => ({ GIT_AUTH_TOKEN: 'x', GIT_AUTH_HEADER: header }), header],
  ])('is opened by %s', async (_, secrets, authorization) => {
    await using server = await serving({ authorization });
    expect(await textOfA([[`${server.url}/r.git`], secrets(hostOf(server))])).toBe('from git\n');
    expect(server.credentials()).toEqual([authorization]);
  });

  test('may be a context, a named one, and added', async () => {
    await using server = await serving({ authorization: basic });
    const secrets = { GIT_AUTH_TOKEN: canary };
    const named = ['--build-context', `other=${server.url}/r.git#main`, 'context'];
    expect(await textOfA([named, secrets, { dockerfile: 'FROM scratch\nCOPY --from=other a /\n' }])).toBe('from git\n');
    const dockerfile = `FROM scratch\nADD ${server.url}/r.git#v1 /\n`;
    expect(await textOfA([['context'], secrets, { dockerfile }])).toBe('from git\n');
  });

  test('takes a token from a file that ends in a line feed', async () => {
    await using server = await serving({ authorization: basic });
    const secret = ['--secret', `id=GIT_AUTH_TOKEN,src=${folder.join('token')}`];
    expect(await textOfA([[...secret, `${server.url}/r.git`], {}])).toBe('from git\n');
  });

  test('that was moved on its host is found there', async () => {
    const redirect = (path: string) => (path.startsWith('/old.git/') ? path.replace('old', 'r') : undefined);
    await using server = await serving({ authorization: basic, redirect });
    expect(await textOfA([[`${server.url}/old.git`], { GIT_AUTH_TOKEN: canary }])).toBe('from git\n');
  });

  test('keeps no header in the .git that stays', async () => {
    await using server = await serving({ authorization: basic });
    const dockerfile = `FROM scratch\nADD --keep-git-dir ${server.url}/r.git /x\n`;
    const finished = await build(['-o', folder.join('kept'), 'context'], { GIT_AUTH_TOKEN: canary }, { dockerfile });
    expect(finished.code, finished.stderr).toBe(0);
    expect(readFileSync(folder.join('kept/x/.git/config'), 'utf8')).toBe(
      `[remote "origin"]\n\turl = "${server.url}/r.git"\n`,
    );
    const searched = await run('grep', [
      '-r',
      '-l',
      '-e',
      canary,
      '-e',
      basic,
      '-i',
      '-e',
      'authorization',
      folder.join('kept'),
    ]);
    expect(searched.text).toBe('');
  });
});

describe('a private file', () => {
  test.each([
    ['HTTP_AUTH_TOKEN_127.0.0.1', canary, bearer],
    ['HTTP_AUTH_HEADER_127.0.0.1', header, header],
  ])('is opened by %s, as a context, a named one, a Dockerfile and added', async (id, value, authorization) => {
    await using server = await serving({ authorization });
    const secrets = { [id]: value };
    expect(await textOfA([[`${server.url}/context.tar`], secrets])).toBe('from git\n');
    expect(await textOfA([['-f', `${server.url}/Dockerfile.remote`, 'context'], secrets])).toBe('a\n');
    const named = ['--build-context', `other=${server.url}/context.tar`, 'context'];
    expect(await textOfA([named, secrets, { dockerfile: 'FROM scratch\nCOPY --from=other a /\n' }])).toBe('from git\n');
    const dockerfile = `FROM scratch\nADD ${server.url}/remote.txt /a\n`;
    expect(await textOfA([['context'], secrets, { dockerfile }])).toBe('remote\n');
    expect(server.credentials()).toEqual([authorization]);
  });

  test('is asked for with the token where both are given, and with neither of another host', async () => {
    await using server = await serving();
    const dockerfile = `FROM scratch\nADD ${server.url}/remote.txt /a\n`;
    const both = { 'HTTP_AUTH_HEADER_127.0.0.1': header, 'HTTP_AUTH_TOKEN_127.0.0.1': canary };
    await textOfA([['context'], both, { dockerfile }]);
    expect(server.credentials()).toEqual([bearer]);
    await using other = await serving();
    const others = { 'HTTP_AUTH_TOKEN_127.0.0.2': canary, HTTP_AUTH_TOKEN_localhost: canary, GIT_AUTH_TOKEN: canary };
    await textOfA([['context'], others, { dockerfile: dockerfile.replace(server.url, other.url) }]);
    expect(other.credentials()).toEqual(['none']);
  });
});

describe('a credential does not go', () => {
  test('where a redirect leads: the fetch goes on without it', async () => {
    await using elsewhere = await serving();
    const redirect = (path: string) => elsewhere.url.replace('127.0.0.1', 'localhost') + path;
    await using server = await serving({ redirect });
    expect(await textOfA([[`${server.url}/r.git`], { GIT_AUTH_TOKEN: canary }])).toBe('from git\n');
    const dockerfile = `FROM scratch\nADD ${server.url}/remote.txt /a\n`;
    expect(await textOfA([['context'], { 'HTTP_AUTH_TOKEN_127.0.0.1': canary }, { dockerfile }])).toBe('remote\n');
    expect(server.credentials()).toEqual([bearer, basic].sort());
    expect(elsewhere.credentials()).toEqual(['none']);
  });

  test('where only the later requests of a fetch are redirected', async () => {
    await using elsewhere = await serving();
    const redirect = (path: string) => (path.endsWith('/git-upload-pack') ? elsewhere.url + path : undefined);
    await using server = await serving({ redirect });
    const { code, stderr } = await build([`${server.url}/r.git`], { GIT_AUTH_TOKEN: canary });
    expect(code).toBe(1);
    expect(stderr).toContain('[context-git-failed]');
    expect(elsewhere.requests).toEqual([]);
  });

  test('to a submodule, on this host or another', async () => {
    await using elsewhere = await serving();
    addSubmodule('with-submodule', `${elsewhere.url}/r.git`);
    await using server = await serving({ authorization: basic });
    const dockerfile = 'FROM scratch\nCOPY --from=other s /\n';
    const named = ['--build-context', `other=${server.url}/r.git#with-submodule`, 'context'];
    expect(await textOfA([named, { GIT_AUTH_TOKEN: canary }, { dockerfile }])).toBe('from git\n');
    expect(elsewhere.requests.length).toBeGreaterThan(0);
    expect(elsewhere.credentials()).toEqual(['none']);
  });

  test('to the configuration of a submodule that stays, when it is part of the address', async () => {
    addSubmodule('with-relative', '../r.git');
    const authorization = `Basic ${Buffer.from(`me:${canary}`).toString('base64')}`;
    await using server = await serving({ authorization });
    const address = `${server.url.replace('//', `//me:${canary}@`)}/r.git#with-relative`;
    const dockerfile = `FROM scratch\nADD --keep-git-dir ${address} /x\n`;
    const finished = await build(['-o', folder.join('relative'), 'context'], {}, { dockerfile });
    expect(finished.code, finished.stderr).toBe(0);
    expect(readFileSync(folder.join('relative/x/.git/modules/s/config'), 'utf8')).toContain('//***@127.0.0.1');
    expect((await run('grep', ['-r', '-l', canary, folder.join('relative')])).text).toBe('');
  });

  test('to the host of an ADD, when the command line names the hosts it is for', async () => {
    await using elsewhere = await serving();
    await using server = await serving({ authorization: basic });
    const dockerfile = `FROM scratch\nADD ${elsewhere.url}/r.git /\n`;
    expect(await textOfA([[`${server.url}/r.git`], { GIT_AUTH_TOKEN: canary }, { dockerfile }])).toBe('from git\n');
    expect(elsewhere.credentials()).toEqual(['none']);
  });

  test('into arguments and variables of git, the store, the image, the output, or a message of a server that repeats it', async () => {
    const log = folder.join('git.log');
    mkdirSync(folder.join('bin'));
    writeFileSync(folder.join('bin/git'), `#!/bin/sh\n{ echo "$@"; env; } >> ${log}\nexec /usr/bin/git "$@"\n`);
    chmodSync(folder.join('bin/git'), 0o755);
    const path = `${folder.join('bin')}:/usr/bin:/bin`;
    await using server = await serving({ authorization: basic });
    const good = await build(['--no-cache', `${server.url}/r.git`], { GIT_AUTH_TOKEN: canary }, { path });
    expect(good.code, good.stderr).toBe(0);
    const refusal = ({ headers }: Pick<IncomingMessage, 'headers'>) =>
      `denied: ${headers.authorization} is ${Buffer.from((headers.authorization ?? '').slice(6), 'base64')}`;
    await using refusing = await serving({ authorization: 'other', refusal });
    const git = await build([`${refusing.url}/r.git`], { GIT_AUTH_TOKEN: canary }, { path });
    expect(git.stderr).toMatch(/remote: denied: basic \*\*\*|remote: denied: \*\*\*/);
    const file = await build([`${refusing.url}/context.tar`], { 'HTTP_AUTH_TOKEN_127.0.0.1': canary });
    expect(file.stderr).toContain('[context-fetch-failed]');
    expect(readFileSync(log, 'utf8')).toContain('fetch --quiet');
    const shown = [good, git, file].map(({ text, stderr }) => text + stderr).join('') + readFileSync(log, 'utf8');
    const token = basic.slice('basic '.length);
    expect(shown).not.toContain(canary);
    expect(shown).not.toContain(token);
    const searched = await run('grep', ['-r', '-l', '-e', canary, '-e', token, folder.join('home')]);
    expect([searched.code, searched.text]).toEqual([1, '']);
  });

  test.each([
    ['two\nlines', 'cannot stand in a header: it is not one line of plain characters'],
    [' \n', 'is empty'],
  ])('anywhere when it is %j', async (value, problem) => {
    await using server = await serving();
    const { code, stderr } = await build([`${server.url}/r.git`], { GIT_AUTH_TOKEN: value });
    expect(code).toBe(1);
    expect(stderr).toContain(`error: the secret GIT_AUTH_TOKEN ${problem} [context-credentials]`);
    expect(server.requests).toEqual([]);
  });
});

/** A branch of the repository whose submodule `s`, at its own commit, is at an address. */
function addSubmodule(branch: string, url: string): void {
  const cwd = folder.join('work-r.git');
  const git = (...args: string[]) => execFileSync('git', args, { cwd, env: { PATH: '/usr/bin:/bin', ...identity } });
  git('checkout', '-q', '-b', branch, 'main');
  writeFileSync(`${cwd}/.gitmodules`, `[submodule "s"]\n\tpath = s\n\turl = ${url}\n`);
  git('update-index', '--add', '--cacheinfo', `160000,${git('rev-parse', 'main').toString().trim()},s`);
  git('add', '.gitmodules');
  git('commit', '-qm', 'submodule');
  git('push', '-q', folder.join('served/r.git'), branch);
}

const identity = { GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@b', GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@b' };
