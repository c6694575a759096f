import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { copyGraph, type Descriptor } from '../../src/image/index.ts';
import { startCanary } from '../support/faulty-proxy.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { alice, startRegistry } from '../support/registry.ts';
import { neverAborted, pushTo, rejectionOf, repositoryOf, session, withPassword } from '../support/registry-session.ts';
import { addImage } from '../support/sample-images.ts';
import { refreshToken } from '../support/token-server.ts';

const asAlice = withPassword(alice.username, alice.password);

describe('a registry with tokens', () => {
  test('is asked for one token by many requests at once', async () => {
    await using registry = await startRegistry({ auth: 'token' });
    const store = new MemoryStore();
    const image = addImage(store, [10_000, 20_000, 30_000, 40_000, 50_000]);
    await using client = session(asAlice);
    await pushTo(repositoryOf(client, `${registry.host}/team/app`), store, image.manifest);
    expect(registry.tokens?.questions.map(({ scopes }) => scopes)).toEqual([['repository:team/app:pull,push']]);
    await using other = session();
    const repository = repositoryOf(other, `${registry.host}/team/app`);
    await Promise.all(Array.from({ length: 20 }, () => repository.resolve('latest', neverAborted)));
    await copyGraph(repository, new MemoryStore(), image.manifest, { signal: neverAborted });
    expect(registry.tokens?.questions.slice(1).map(({ scopes }) => scopes)).toEqual([['repository:team/app:pull']]);
  });

  test('is asked for the next token before the first expires', async () => {
    await using registry = await startRegistry({ auth: 'token', token: { claimedExpiresIn: 100 } });
    const store = new MemoryStore();
    const image = addImage(store, [10]);
    let now = Date.now();
    await using client = session({ ...asAlice, now: () => now });
    const repository = repositoryOf(client, `${registry.host}/app`);
    await pushTo(repository, store, image.manifest);
    now += 85_000;
    await repository.has(image.manifest, neverAborted);
    expect(registry.tokens?.questions).toHaveLength(1);
    now += 6_000;
    await repository.has(image.manifest, neverAborted);
    expect(registry.tokens?.questions).toHaveLength(2);
  });

  test('whose tokens expire within seconds, unsaid, gives new ones in the midst of a push', async () => {
    // The registry takes a token for 60 seconds after its end: this one is of use for six.
    await using registry = await startRegistry({ auth: 'token', token: { expiresIn: -54, claimedExpiresIn: 300 } });
    const store = new MemoryStore();
    const image = addImage(store, [100_000, 200_000]);
    const slow = new Set(image.layers.map(({ digest }) => digest));
    const source = {
      name: 'a slow store',
      resolve: (reference: string) => store.resolve(reference),
      async open(descriptor: Descriptor) {
        if (slow.delete(descriptor.digest)) await sleep(8_000);
        return store.open(descriptor);
      },
    };
    await using client = session(asAlice);
    await pushTo(repositoryOf(client, `${registry.host}/app`), source, image.manifest);
    expect(registry.tokens?.questions.length).toBeGreaterThanOrEqual(2);
  });

  test('that forgets its tokens is asked once more, and only once', async () => {
    let accepted = 'token-2';
    let given = 0;
    await using registry = await startCanary((request, response) => {
      if (request.path.startsWith('/token')) {
        given += 1;
        response.end(JSON.stringify({ token: `token-${given}` }));
      } else if (request.headers.authorization === `Bearer ${accepted}`) {
        response.end('{"tags":["a"]}');
      } else {
        response
          .writeHead(401, { 'www-authenticate': 'Bearer realm="/token",service="s",scope="repository:app:pull"' })
          .end();
      }
    });
    await using client = session();
    const repository = repositoryOf(client, `${registry.host}/app`);
    const tags = async () => {
      const found: string[] = [];
      for await (const tag of repository.tags(neverAborted)) found.push(tag);
      return found;
    };
    expect(await tags()).toEqual(['a']);
    expect(given).toBe(2);
    accepted = 'none';
    expect(await rejectionOf(tags())).toMatchObject({ code: 'registry-unauthorized', status: 401 });
    expect(given).toBe(3);
  });

  test('lets a user without the right to push do no more than pull, and says so', async () => {
    await using registry = await startRegistry({
      auth: 'token',
      token: {
        grant: (user, _resource, actions) => (user === undefined ? actions.filter((a) => a === 'pull') : actions),
      },
    });
    const store = new MemoryStore();
    const image = addImage(store, [10]);
    await using anonymous = session();
    const error = await rejectionOf(pushTo(repositoryOf(anonymous, `${registry.host}/app`), store, image.manifest));
    expect(error).toMatchObject({
      code: 'registry-unauthorized',
      status: 401,
      registryCode: 'UNAUTHORIZED',
      hint: expect.stringContaining(`tsbuild login ${registry.host}`),
    });
  });

  test('takes an identity token by OAuth2', async () => {
    await using registry = await startRegistry({ auth: 'token' });
    const store = new MemoryStore();
    const image = addImage(store, [10]);
    await using client = session({
      credentials: { find: async () => ({ kind: 'identity-token', token: refreshToken }) },
    });
    await pushTo(repositoryOf(client, `${registry.host}/app`), store, image.manifest);
    expect(registry.tokens?.questions).toMatchObject([
      { method: 'POST', grantType: 'refresh_token', service: 'test registry', authorization: undefined },
    ]);
  });

  test('refuses a wrong password with one clear error', async () => {
    await using registry = await startRegistry({ auth: 'token' });
    await using client = session(withPassword('alice', 'wrong'));
    const error = await rejectionOf(repositoryOf(client, `${registry.host}/app`).resolve('latest', neverAborted));
    expect(error).toMatchObject({ code: 'registry-unauthorized', message: expect.stringContaining('wrong password') });
    expect(registry.tokens?.questions).toHaveLength(1);
  });

  test('whose token server fails for a moment is asked again', async () => {
    let failures = 2;
    await using registry = await startRegistry({
      auth: 'token',
      token: {
        fail: () => {
          failures -= 1;
          return failures >= 0 ? 503 : undefined;
        },
      },
    });
    const store = new MemoryStore();
    const image = addImage(store, [10]);
    await using client = session(asAlice);
    await pushTo(repositoryOf(client, `${registry.host}/app`), store, image.manifest);
    expect(registry.tokens?.questions).toHaveLength(3);
  });

  test('mounts a blob from another repository with one token for both', async () => {
    await using registry = await startRegistry({ auth: 'token' });
    const store = new MemoryStore();
    const image = addImage(store, [100_000, 200_000]);
    await using client = session(asAlice);
    await pushTo(repositoryOf(client, `${registry.host}/base`), store, image.manifest);
    store.opens.length = 0;
    const states: string[] = [];
    await copyGraph(store, repositoryOf(client, `${registry.host}/app`), image.manifest, {
      signal: neverAborted,
      knownIn: () => ['docker.io/library/base', `${registry.host}/base`],
      onBlob: ({ state }) => states.push(state),
    });
    expect(states.filter((state) => state === 'mounted')).toHaveLength(3);
    expect(store.opens).toEqual([image.manifest.digest]);
    expect(registry.tokens?.questions.at(-1)?.scopes).toEqual(['repository:app:pull,push', 'repository:base:pull']);
  });
});
