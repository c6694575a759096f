import { describe, expect, test } from 'vitest';
import { mediaTypes, parseManifest, readBlob, readManifest } from '../../src/image/index.ts';
import type { HttpLogEntry } from '../../src/registry/index.ts';
import { startCanary } from '../support/faulty-proxy.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { alice, type RegistryOptions, startRegistry, type TestRegistry } from '../support/registry.ts';
import { neverAborted, pushTo, rejectionOf, repositoryOf, session, withPassword } from '../support/registry-session.ts';
import { addImage, addIndex } from '../support/sample-images.ts';

const asAlice = withPassword(alice.username, alice.password);
const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] }));

describe('the first request of all', () => {
  test('is the first that is of use where nobody asks for a name', async () => {
    expect(await requestsOfReading({})).toEqual(['200 GET manifests/latest', '200 GET manifests/@', '200 GET blobs/@']);
  });

  test('is as good as a greeting where a password is asked for', async () => {
    expect(await requestsOfReading({ auth: 'htpasswd' })).toEqual([
      ...['401 GET manifests/latest', '200 GET manifests/latest'],
      ...['200 GET manifests/@', '200 GET blobs/@'],
    ]);
  });

  test('is as good as a greeting where a token is asked for', async () => {
    expect(await requestsOfReading({ auth: 'token' })).toEqual([
      ...['401 GET manifests/latest', '200 GET token', '200 GET manifests/latest'],
      ...['200 GET manifests/@', '200 GET blobs/@'],
    ]);
  });

  test('goes to a server with TLS in vain, and all is well', async () => {
    await using registry = await startRegistry({ tls: 'server' });
    const ca = registry.authority?.certificate ?? '';
    const seen = await requestsOf(registry, { settings: () => ({ ca: [ca] }) });
    expect(seen.slice(-3)).toEqual(['200 GET manifests/latest', '200 GET manifests/@', '200 GET blobs/@']);
    expect(seen).toContain('200 GET /v2/');
  });

  test.each([403, 404])('is followed by a greeting where whoever is unknown is told %i', async (status) => {
    await using registry = await startCanary((request, response) => {
      if (request.headers.authorization !== undefined)
        response.writeHead(200, { 'content-type': mediaTypes.ociIndex }).end(index);
      else if (request.path === '/v2/') response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      else response.writeHead(status).end();
    });
    await using client = session(asAlice);
    const fetched = await repositoryOf(client, `${registry.host}/app`).fetchManifest('latest', neverAborted);
    expect(fetched.bytes).toEqual(index);
    expect(registry.requests.map(({ path }) => path)).toEqual([
      '/v2/app/manifests/latest',
      '/v2/',
      '/v2/app/manifests/latest',
    ]);
  });

  test('is not taken from the others by who asked it and left', async () => {
    let letGo = () => {};
    await using registry = await startCanary((request, response) => {
      const answer = () => void response.writeHead(200, { 'content-type': mediaTypes.ociIndex }).end(index);
      if (request.path.endsWith('/first')) letGo = answer;
      else answer();
    });
    await using client = session();
    const repository = repositoryOf(client, `${registry.host}/app`);
    const leaving = new AbortController();
    const first = rejectionOf(repository.fetchManifest('first', leaving.signal));
    const second = repository.fetchManifest('second', neverAborted);
    while (registry.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    leaving.abort();
    expect(await first).toMatchObject({ code: 'cancelled' });
    letGo();
    expect((await second).bytes).toEqual(index);
    expect(registry.requests.map(({ path }) => path)).toEqual(['/v2/app/manifests/first', '/v2/app/manifests/second']);
  });
});

test('requests one after the other share a connection', async () => {
  const ports = new Set<number | undefined>();
  await using registry = await startCanary((_request, response) => {
    ports.add(response.socket?.remotePort);
    response.writeHead(200, { 'content-type': mediaTypes.ociIndex }).end(index);
  });
  await using client = session();
  const repository = repositoryOf(client, `${registry.host}/app`);
  for (const tag of ['a', 'b', 'c', 'd']) await repository.fetchManifest(tag, neverAborted);
  expect(ports.size).toBe(1);
});

async function requestsOfReading(options: RegistryOptions): Promise<readonly string[]> {
  await using registry = await startRegistry(options);
  return await requestsOf(registry, options.auth === undefined ? {} : asAlice);
}

/** Reads an index, one of its manifests and that one's configuration; resolves to what went over the wire. */
async function requestsOf(registry: TestRegistry, options: Parameters<typeof session>[0]): Promise<readonly string[]> {
  const store = new MemoryStore();
  const root = addIndex(store, new Map([['amd64', addImage(store, [10])]]));
  {
    await using pushing = session(options);
    await pushTo(repositoryOf(pushing, `${registry.host}/app`), store, root);
  }
  const entries: HttpLogEntry[] = [];
  await using client = session({ ...options, log: (entry) => void entries.push(entry) });
  const repository = repositoryOf(client, `${registry.host}/app`);
  const target = await repository.resolve('latest', neverAborted, { alsoRead: true });
  expect(target).toEqual(root);
  const document = parseManifest(await readManifest(repository, target, neverAborted), target.mediaType);
  const [child] = document.kind === 'index' ? document.manifests : [];
  if (child === undefined) throw new Error('no index');
  const manifest = parseManifest(await readManifest(repository, child, neverAborted), child.mediaType);
  if (manifest.kind !== 'manifest') throw new Error('no manifest');
  expect(await readBlob(repository, manifest.config, neverAborted)).toEqual(store.blobs.get(manifest.config.digest));
  return entries.map(({ status, method, url }) => `${status} ${method} ${shortened(new URL(url))}`);
}

function shortened({ pathname }: URL): string {
  return pathname
    .replace(/^\/v2\/app\//, '')
    .replace(/^\/token$/, 'token')
    .replace(/sha256:.*/, '@');
}
