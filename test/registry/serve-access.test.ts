import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  isRegistryError,
  onlyOwnersWrite,
  onlyUsers,
  parseUsers,
  type RegistryServer,
  serveRegistry,
} from '../../src/registry/index.ts';
import { MemoryStorage } from '../support/memory-storage.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { pushTo, rejectionOf, repositoryOf, session, withPassword } from '../support/registry-session.ts';
import { addImage } from '../support/sample-images.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';

const self = process.getuid?.() ?? 0;
const store = new MemoryStore();
const image = addImage(store, [1000]);

let folder: TemporaryFolder;
let server: RegistryServer | undefined;
beforeEach(() => {
  folder = temporaryFolder('serve-access');
});
afterEach(async () => {
  await server?.[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

async function serve(options: Partial<Parameters<typeof serveRegistry>[0]>): Promise<RegistryServer> {
  server = await serveRegistry({ storage: new MemoryStorage(), uploadFolder: folder.path, ...options });
  return server;
}

async function push(to: RegistryServer, options: Parameters<typeof session>[0] = {}): Promise<void> {
  await using client = session(options);
  await pushTo(repositoryOf(client, `${to.host}/app`), store, image.manifest);
}

describe('a served registry without users', () => {
  test.each(['127.0.0.1', '::1'])('takes what its own user pushes over %s', async (address) => {
    const serving = await serve({ address, access: onlyOwnersWrite([self]) });
    await push(serving);
  });

  test('shows everything to another user of the machine and takes nothing, with the reason', async () => {
    const serving = await serve({ access: onlyOwnersWrite([self + 1]) });
    const error = await rejectionOf(push(serving));
    expect(error).toMatchObject({ code: 'registry-denied', message: expect.stringContaining(`user ${self} of this`) });
    expect((await fetch(`${serving.url}/v2/_catalog`)).status).toBe(200);
    for (const method of ['DELETE', 'PUT']) {
      expect((await fetch(`${serving.url}/v2/app/manifests/1`, { method })).status).toBe(403);
    }
  });
});

/** What Apache's htpasswd writes for alice: the line of a file. */
const htpasswd = (kind: string, password: string) =>
  execFileSync('htpasswd', ['-nb', kind, 'alice', password], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });

describe.each([
  ['in clear text', () => 'alice:wonder:land\n'],
  ['as htpasswd hashes them', () => `# who may\n\n${htpasswd('-B', 'wonder:land')}`],
])('a served registry with users whose passwords stand %s', (_how, text) => {
  const serveUsers = () => serve({ access: onlyUsers(parseUsers(text(), 'users')) });

  test('takes a right name and password, a colon in it included', async () => {
    await push(await serveUsers(), withPassword('alice', 'wonder:land'));
  });

  test.each([
    ['nobody', {}],
    ['a wrong password', withPassword('alice', 'wonder')],
    ['an unknown name', withPassword('bob', 'wonder:land')],
    ['an unknown name without a password', withPassword('bob', '')],
  ])('lets %s neither write nor read', async (_who, options) => {
    const serving = await serveUsers();
    const error = await rejectionOf(push(serving, options));
    expect(isRegistryError(error) && error.code).toBe('registry-unauthorized');
    const answer = await fetch(`${serving.url}/v2/`);
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Basic realm="tsbuild"']);
  });
});

describe('a list of users', () => {
  test('does not take the hash for the password', async () => {
    const line = htpasswd('-B', 'secret').trim();
    expect(await parseUsers(line, 'users').matches('alice', line.slice('alice:'.length))).toBe(false);
  });

  test('knows every form of bcrypt, and an old hash beside a clear password', async () => {
    const hash = htpasswd('-B', 'secret').trim().slice('alice:'.length);
    const forms = ['2a', '2b', '2y'].map((form) => `u${form}:${hash.replace('$2y$', `$${form}$`)}`);
    const users = parseUsers([...forms, 'plain:secret'].join('\n'), 'users');
    for (const name of ['u2a', 'u2b', 'u2y', 'plain']) {
      expect([await users.matches(name, 'secret'), await users.matches(name, 'Secret')], name).toEqual([true, false]);
    }
    expect([users.hasClearText, parseUsers(forms.join('\n'), 'users').hasClearText]).toEqual([true, false]);
  });

  test.each([
    ['Apache MD5', () => htpasswd('-m', 'secret')],
    ['SHA-1', () => htpasswd('-s', 'secret')],
    [
      'SHA-512 of crypt',
      () => 'alice:$6$salt$3aEJgflnzWuw1O3tr0IYSmhUY0cZ7iBQeBP392T7RXjLP3TKKu3ddIapQaCpbD4p9ioeGaVIjOHaym7HvCuUm0',
    ],
    ['a damaged bcrypt', () => 'alice:$2y$05$short'],
  ])('does not take %s for a password', (_kind, text) => {
    expect(() => parseUsers(text(), 'users')).toThrow('line 1 of users has a password hash that is not bcrypt');
  });

  test.each(['alice=secret', 'alice:', ':secret', '', '# nobody', 'alice:a\nalice:b'])('is not %j', (text) => {
    expect(() => parseUsers(text, 'users')).toThrow('users is not a list of users');
  });
});
