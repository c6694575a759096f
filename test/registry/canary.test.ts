import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { copyGraph, mediaTypes, serializeManifest } from '../../src/image/index.ts';
import type { HttpLogEntry } from '../../src/registry/index.ts';
import { createAuthority } from '../support/certificates.ts';
import { startCanary, startFaultyProxy } from '../support/faulty-proxy.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { alice, startRegistry } from '../support/registry.ts';
import { neverAborted, pushTo, rejectionOf, repositoryOf, session, withPassword } from '../support/registry-session.ts';
import { addImage } from '../support/sample-images.ts';

const secrets = [
  alice.password,
  Buffer.from(`${alice.username}:${alice.password}`).toString('base64'),
  'Bearer',
  'Basic',
];
const credentials = withPassword(alice.username, alice.password);

function expectNoSecret(text: string): void {
  for (const secret of secrets) expect(text).not.toContain(secret);
}

describe('a credential', () => {
  test.each(['htpasswd', 'token'] as const)(
    'does not follow a blob that is redirected elsewhere (%s)',
    async (auth) => {
      await using registry = await startRegistry({ auth });
      const store = new MemoryStore();
      const image = addImage(store, [50_000]);
      await using canary = await startCanary((request, response) => {
        const digest = request.path.slice(1) as keyof object;
        response.end(store.blobs.get(digest));
      });
      await using proxy = await startFaultyProxy(registry.url, (request) => {
        const digest = /\/blobs\/(sha256:[0-9a-f]+)$/.exec(request.path)?.[1];
        return request.method === 'GET' && digest ? { kind: 'redirect', to: `${canary.url}/${digest}` } : undefined;
      });
      await using client = session(credentials);
      await pushTo(repositoryOf(client, `${registry.host}/app`), store, image.manifest);
      const pulled = new MemoryStore();
      const repository = repositoryOf(client, `${proxy.host}/app`);
      await copyGraph(repository, pulled, await repository.resolve('latest', neverAborted), { signal: neverAborted });
      expect(pulled.blobs.size).toBe(store.blobs.size);
      expect(canary.requests.length).toBe(2);
      expectNoSecret(canary.heard());
      expect(proxy.requests.some((request) => request.headers.authorization !== undefined)).toBe(true);
    },
  );

  test('does not follow an upload location on another host', async () => {
    const store = new MemoryStore();
    const blob = store.add('application/octet-stream', Buffer.from('hello'));
    await using canary = await startCanary((_request, response) => response.writeHead(201).end());
    await using registry = await startCanary((request, response) => {
      if (request.headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      } else if (request.method === 'POST') {
        response.writeHead(202, { location: `${canary.url}/upload?id=1` }).end();
      } else response.writeHead(request.method === 'HEAD' ? 404 : 200).end();
    });
    await using client = session(credentials);
    const outcome = await repositoryOf(client, `${registry.host}/app`).put(blob, () => store.open(blob), {
      signal: neverAborted,
    });
    expect(outcome).toBe('written');
    expect(canary.heard()).toContain('hello');
    expect(canary.requests[0]?.path).toBe(`/upload?id=1&digest=${encodeURIComponent(blob.digest)}`);
    expectNoSecret(canary.heard());
  });

  test('is not given to a challenge that comes from where a redirect led', async () => {
    const store = new MemoryStore();
    const blob = store.add('application/octet-stream', Buffer.from('hello'));
    await using canary = await startCanary((_request, response) => {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x", Bearer realm="/token"' }).end();
    });
    await using registry = await startCanary((request, response) => {
      if (request.path === '/v2/') response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      else response.writeHead(307, { location: `${canary.url}/blob` }).end();
    });
    await using client = session(credentials);
    const error = await rejectionOf(repositoryOf(client, `${registry.host}/app`).open(blob, neverAborted));
    expect(error).toMatchObject({ code: 'registry-unauthorized' });
    expect(canary.requests).toHaveLength(1);
    expectNoSecret(canary.heard());
  });

  test('is not sent to a token realm that is plain http on another host', async () => {
    await using registry = await startCanary((_request, response) => {
      response.writeHead(401, { 'www-authenticate': 'Bearer realm="http://tokens.example/token",service="s"' }).end();
    });
    await using client = session(credentials);
    const error = await rejectionOf(repositoryOf(client, `${registry.host}/app`).resolve('latest', neverAborted));
    expect(error).toMatchObject({ code: 'registry-redirect-refused' });
  });

  test('in the body of a token request does not follow a redirect', async () => {
    await using canary = await startCanary();
    await using registry = await startCanary((request, response) => {
      if (request.path === '/token') response.writeHead(307, { location: `${canary.url}/token` }).end();
      else response.writeHead(401, { 'www-authenticate': 'Bearer realm="/token",service="s"' }).end();
    });
    await using client = session({
      credentials: { find: async () => ({ kind: 'identity-token', token: 'refresh-secret' }) },
    });
    const error = await rejectionOf(repositoryOf(client, `${registry.host}/app`).resolve('latest', neverAborted));
    expect(error).toMatchObject({ code: 'registry-redirect-refused' });
    expect(registry.heard()).toContain('refresh-secret');
    expect(canary.requests).toHaveLength(0);
  });

  test('does not follow a page link to another host', async () => {
    await using canary = await startCanary();
    await using registry = await startCanary((request, response) => {
      if (request.headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      } else response.setHeader('link', `<${canary.url}/v2/app/tags/list?last=a>; rel="next"`).end('{"tags":["a"]}');
    });
    await using client = session(credentials);
    const error = await rejectionOf(allOf(repositoryOf(client, `${registry.host}/app`).tags(neverAborted)));
    expect(error).toMatchObject({ code: 'registry-redirect-refused' });
    expect(canary.requests).toHaveLength(0);
  });

  test('of a registry is not shown to its mirror', async () => {
    await using registry = await startRegistry({ auth: 'htpasswd' });
    await using mirror = await startCanary((_request, response) => {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    });
    const store = new MemoryStore();
    const image = addImage(store, [10]);
    await using client = session({
      credentials: {
        find: async (host) => (host === registry.host ? { kind: 'password', ...alice } : undefined),
      },
      settings: (host) => (host === registry.host ? { mirrors: [mirror.host] } : {}),
    });
    const repository = repositoryOf(client, `${registry.host}/app`);
    await pushTo(repository, store, image.manifest);
    expect(await repository.resolve('latest', neverAborted)).toMatchObject({ digest: image.manifest.digest });
    expect(mirror.requests.length).toBeGreaterThan(0);
    expectNoSecret(mirror.heard());
  });

  test('is never sent where a foreign layer says it can be had', async () => {
    await using registry = await startRegistry({ auth: 'htpasswd' });
    await using canary = await startCanary();
    const store = new MemoryStore();
    const image = addImage(store, [10]);
    const foreign = store.add(mediaTypes.dockerForeignLayerGzip, Buffer.from('foreign'));
    store.blobs.delete(foreign.digest);
    const manifest = store.add(
      mediaTypes.ociManifest,
      serializeManifest({
        kind: 'manifest',
        mediaType: mediaTypes.ociManifest,
        config: image.config,
        layers: [...image.layers, { ...foreign, urls: [`${canary.url}/layer`] }],
      }),
    );
    await using client = session(credentials);
    const repository = repositoryOf(client, `${registry.host}/app`);
    await pushTo(repository, store, manifest);
    const pulled = new MemoryStore();
    await copyGraph(repository, pulled, manifest, { signal: neverAborted });
    expect(pulled.blobs.has(image.config.digest)).toBe(true);
    expect(pulled.blobs.has(foreign.digest)).toBe(false);
    expect(canary.requests).toHaveLength(0);
  });

  test('is in no error and no log entry', async () => {
    await using registry = await startRegistry({ auth: 'token', token: { grant: () => [] } });
    const entries: HttpLogEntry[] = [];
    await using client = session({ ...credentials, log: (entry) => entries.push(entry) });
    const repository = repositoryOf(client, `${registry.host}/app`);
    const error = await rejectionOf(repository.resolve('latest', neverAborted));
    expect(error).toMatchObject({ code: 'registry-unauthorized', hint: expect.stringContaining('tsbuild login') });
    const token = /[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}/;
    for (const text of [inspect(error, { depth: 10 }), JSON.stringify(entries)]) {
      expectNoSecret(text);
      expect(text).not.toMatch(token);
    }
    expect(entries.length).toBeGreaterThan(3);
  });
});

describe('a registry that points to a metadata address is refused', () => {
  const targets = [
    'http://169.254.169.254/latest/meta-data/',
    'http://[::ffff:169.254.169.254]/',
    'http://[fe80::1]/',
    'http://metadata.google.internal/',
    'http://100.100.100.200/',
  ];

  test.each(targets)('in a redirect to %s', async (target) => {
    await using registry = await startCanary((request, response) => {
      if (request.path === '/v2/') response.end();
      else response.writeHead(307, { location: target }).end();
    });
    await using client = session();
    const error = await rejectionOf(repositoryOf(client, `${registry.host}/app`).resolve('latest', neverAborted));
    expect(error).toMatchObject({ code: 'registry-address-refused' });
  });

  test('in an upload location', async () => {
    const store = new MemoryStore();
    const blob = store.add('application/octet-stream', Buffer.from('hello'));
    await using registry = await startCanary((request, response) => {
      if (request.method === 'POST') response.writeHead(202, { location: `${targets[0]}` }).end();
      else response.writeHead(request.path === '/v2/' ? 200 : 404).end();
    });
    await using client = session();
    const repository = repositoryOf(client, `${registry.host}/app`);
    const error = await rejectionOf(repository.put(blob, () => store.open(blob), { signal: neverAborted }));
    expect(error).toMatchObject({ code: 'registry-address-refused' });
  });

  test('in a token realm', async () => {
    await using registry = await startCanary((_request, response) => {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${targets[0]}"` }).end();
    });
    await using client = session();
    const error = await rejectionOf(repositoryOf(client, `${registry.host}/app`).resolve('latest', neverAborted));
    expect(error).toMatchObject({ code: 'registry-address-refused' });
  });
});

describe('a registry over https', () => {
  test('cannot send us to plain http', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tsbuild-canary-'));
    const authority = createAuthority(folder);
    const { certificate, key } = authority.issue('127.0.0.1');
    await using canary = await startCanary();
    const server = createServer({ cert: certificate, key }, (request, response) => {
      if (request.url === '/v2/') response.end();
      else response.writeHead(307, { location: `${canary.url}/` }).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const address = server.address();
      const port = typeof address === 'object' ? address?.port : undefined;
      await using client = session({ ...credentials, settings: () => ({ ca: [authority.certificate] }) });
      const error = await rejectionOf(repositoryOf(client, `127.0.0.1:${port}/app`).resolve('latest', neverAborted));
      expect(error).toMatchObject({ code: 'registry-redirect-refused' });
      expect(canary.requests).toHaveLength(0);
    } finally {
      server.closeAllConnections();
      server.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('a registry that answers without end', () => {
  test('with a manifest is stopped at 4 MiB', async () => {
    await using registry = await startCanary((request, response) => {
      if (request.path === '/v2/') return void response.end();
      if (request.method === 'HEAD') return void response.writeHead(404).end();
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65536, 32)));
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    });
    await using client = session();
    const error = await rejectionOf(repositoryOf(client, `${registry.host}/app`).resolve('latest', neverAborted));
    expect(error).toMatchObject({ code: 'registry-protocol' });
  });

  test('with a blob is stopped at the size the blob should have', async () => {
    const store = new MemoryStore();
    const blob = store.add('application/octet-stream', Buffer.alloc(1000));
    let sent = 0;
    await using registry = await startCanary((request, response) => {
      if (request.path === '/v2/') return void response.end();
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65536, 32))) sent += 65536;
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    });
    await using client = session();
    const error = await rejectionOf(
      (async () => {
        for await (const _chunk of await repositoryOf(client, `${registry.host}/app`).open(blob, neverAborted));
      })(),
    );
    expect(error).toMatchObject({ code: 'registry-digest-mismatch' });
    expect(sent).toBeLessThan(50_000_000);
  });

  test('with pages that lead back is stopped', async () => {
    await using registry = await startCanary((_request, response) => {
      response.setHeader('link', '</v2/app/tags/list?last=a>; rel="next"').end('{"tags":["a"]}');
    });
    await using client = session();
    const error = await rejectionOf(allOf(repositoryOf(client, `${registry.host}/app`).tags(neverAborted)));
    expect(error).toMatchObject({ code: 'registry-protocol' });
    expect(registry.requests.length).toBeLessThan(5);
  });
});

async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const result: T[] = [];
  for await (const item of items) result.push(item);
  return result;
}
