import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { copyGraph } from '../../src/image/index.ts';
import type { HttpLogEntry } from '../../src/registry/index.ts';
import { startFaultyProxy } from '../support/faulty-proxy.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { startNginx } from '../support/nginx.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { neverAborted, pushTo, repositoryOf, session } from '../support/registry-session.ts';
import { addImage } from '../support/sample-images.ts';

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startRegistry();
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
});

const pass = () => `proxy_pass ${registry.url}; proxy_set_header Host $http_host; proxy_http_version 1.1;`;

async function pushAndPull(host: string, name: string, sizes: readonly number[]): Promise<HttpLogEntry[]> {
  const entries: HttpLogEntry[] = [];
  const store = new MemoryStore();
  const image = addImage(store, sizes);
  await using client = session({
    log: (entry) => entries.push(entry),
    retry: { attempts: 12, baseDelay: 20, maxDelay: 2_000 },
  });
  const repository = repositoryOf(client, `${host}/${name}`);
  await pushTo(repository, store, image.manifest);
  const pulled = new MemoryStore();
  await copyGraph(repository, pulled, await repository.resolve('latest', neverAborted), { signal: neverAborted });
  expect([...pulled.blobs.keys()].sort()).toEqual([...store.blobs.keys()].sort());
  return entries;
}

describe('nginx before a registry', () => {
  test('that limits the size of a body gets the blob in chunks that fit', async () => {
    await using nginx = await startNginx(`client_max_body_size 1m; location / { ${pass()} }`);
    const entries = await pushAndPull(nginx.host, 'limited', [5_000_000]);
    expect(entries.filter(({ method, status }) => method === 'PATCH' && status === 202).length).toBeGreaterThan(4);
  });

  test('that limits the rate is obeyed', async () => {
    await using nginx = await startNginx(
      `limit_req zone=all burst=1 nodelay; limit_req_status 429; add_header Retry-After 1 always; location / { ${pass()} }`,
      // Not what carries a blob: three of them that wait for one another's second could be refused for ever.
      `map $request_method $counted { PUT ""; default $server_port; }
       limit_req_zone $counted zone=all:1m rate=10r/s;`,
    );
    const entries = await pushAndPull(nginx.host, 'slow', [1_000, 2_000]);
    expect(entries.some(({ status }) => status === 429)).toBe(true);
  });

  test('that redirects blobs to another host is followed there', async () => {
    await using other = await startNginx(`location / { ${pass()} }`);
    await using nginx = await startNginx(
      `location ~ /blobs/sha256: { if ($request_method = GET) { return 307 http://${other.host}$request_uri; } ${pass()} }
       location / { ${pass()} }`,
    );
    const entries = await pushAndPull(nginx.host, 'elsewhere', [100_000]);
    expect(entries.filter(({ url, status }) => url.includes(other.host) && status === 200)).toHaveLength(2);
  });

  test('that cuts the connection midway, out and in, is asked for the rest', async () => {
    const cut = new Set<string>();
    await using behind = await startFaultyProxy(registry.url, ({ method, path }) => {
      const kind = method === 'GET' && path.includes('/blobs/sha256:') ? 'truncated' : 'lost-answer';
      if ((kind === 'lost-answer' && method !== 'PUT') || cut.has(path)) return undefined;
      cut.add(path);
      return { kind };
    });
    await using nginx = await startNginx(
      `proxy_buffering off; proxy_request_buffering off; client_max_body_size 0;
       location / { proxy_pass ${behind.url}; proxy_set_header Host $http_host; proxy_http_version 1.1; }`,
    );
    await pushAndPull(nginx.host, 'cut', [3_000_000]);
    expect(cut.size).toBeGreaterThanOrEqual(4);
    const ranges = behind.requests.filter(({ method, headers }) => method === 'GET' && headers.range !== undefined);
    expect(ranges.length).toBeGreaterThanOrEqual(1);
  });
});
