import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  isRegistryError,
  onlyOwnersWrite,
  onlyUsers,
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

describe('a served registry with users', () => {
  const access = onlyUsers(new Map([['alice', 'wonder:land']]));

  test('takes a right name and password, a colon in it included', async () => {
    await push(await serve({ access }), withPassword('alice', 'wonder:land'));
  });

  test.each([
    ['nobody', {}],
    ['a wrong password', withPassword('alice', 'wonder')],
    ['an unknown name', withPassword('bob', 'wonder:land')],
    ['an unknown name without a password', withPassword('bob', '')],
  ])('lets %s neither write nor read', async (_who, options) => {
    const serving = await serve({ access });
    const error = await rejectionOf(push(serving, options));
    expect(isRegistryError(error) && error.code).toBe('registry-unauthorized');
    const answer = await fetch(`${serving.url}/v2/`);
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Basic realm="tsbuild"']);
  });
});
