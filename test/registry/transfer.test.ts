import type { ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { copyGraph, type Descriptor } from '../../src/image/index.ts';
import { startCanary, startFaultyProxy } from '../support/faulty-proxy.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { startRegistry } from '../support/registry.ts';
import { neverAborted, rejectionOf, repositoryOf, session } from '../support/registry-session.ts';
import { addImage } from '../support/sample-images.ts';

/** A registry with one blob that it serves as the test says. */
function blobServer(answer: (range: string | undefined, response: ServerResponse) => void) {
  return startCanary((request, response) => {
    if (request.path === '/v2/') response.end();
    else answer(request.headers.range, response);
  });
}

async function read(host: string, blob: Descriptor): Promise<Buffer> {
  await using client = session();
  const chunks: Uint8Array[] = [];
  for await (const chunk of await repositoryOf(client, `${host}/app`).open(blob, neverAborted)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Says it sends everything from `start`, sends up to `end`, and hangs up. */
function breakOff(bytes: Buffer, start: number, end: number, response: ServerResponse): void {
  response.writeHead(start > 0 ? 206 : 200, {
    'content-length': bytes.byteLength - start,
    ...(start > 0 && { 'content-range': `bytes ${start}-${bytes.byteLength - 1}/${bytes.byteLength}` }),
  });
  response.write(bytes.subarray(start, end), () => setTimeout(() => response.destroy(), 5));
}

const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7919) & 255));
const blob = new MemoryStore().add('application/octet-stream', bytes);

describe('a download', () => {
  test('that breaks off again and again goes on as long as each attempt brings something', async () => {
    await using server = await blobServer((range, response) => {
      const start = Number(/bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0);
      breakOff(bytes, start, start + 15_000, response);
    });
    expect((await read(server.host, blob)).equals(bytes)).toBe(true);
    expect(server.requests.filter(({ headers }) => headers.range !== undefined)).toHaveLength(6);
  });

  test('that brings nothing more ends in one clear error', async () => {
    await using server = await blobServer((range, response) => {
      if (range === undefined) breakOff(bytes, 0, 60_000, response);
      else response.destroy();
    });
    expect(await rejectionOf(read(server.host, blob))).toMatchObject({
      code: expect.stringMatching(/truncated|unreachable/),
    });
  });

  test('from a registry that ignores Range starts over and hands nothing on twice', async () => {
    let attempts = 0;
    await using server = await blobServer((_range, response) => {
      attempts += 1;
      if (attempts === 1) breakOff(bytes, 0, 60_000, response);
      else response.end(bytes);
    });
    expect((await read(server.host, blob)).equals(bytes)).toBe(true);
  });

  test('that is given another range than it asked for is refused', async () => {
    await using server = await blobServer((range, response) => {
      if (range === undefined) breakOff(bytes, 0, 60_000, response);
      else response.writeHead(206, { 'content-range': 'bytes 0-99999/100000' }).end(bytes);
    });
    expect(await rejectionOf(read(server.host, blob))).toMatchObject({ code: 'registry-protocol' });
  });

  test('of the right length with a wrong byte is refused', async () => {
    const wrong = Buffer.from(bytes);
    wrong[50_000] = (wrong[50_000] ?? 0) ^ 1;
    await using server = await blobServer((_range, response) => void response.end(wrong));
    expect(await rejectionOf(read(server.host, blob))).toMatchObject({ code: 'registry-digest-mismatch' });
  });

  test('that nobody reads does not keep the next from starting', async () => {
    await using server = await blobServer((_range, response) => void response.end(bytes));
    await using client = session({ requestsPerHost: 1 });
    const repository = repositoryOf(client, `${server.host}/app`);
    const unread = (await repository.open(blob, neverAborted))[Symbol.asyncIterator]();
    await unread.return?.();
    for await (const _chunk of await repository.open(blob, neverAborted));
  });
});

describe('an upload', () => {
  test('that is too large for what stands before the registry is sent in chunks that are not', async () => {
    await using registry = await startRegistry();
    await using proxy = await startFaultyProxy(registry.url, ({ headers }) =>
      Number(headers['content-length'] ?? 0) > 600_000 ? { kind: 'status', status: 413 } : undefined,
    );
    const store = new MemoryStore();
    const image = addImage(store, [3_000_000, 1_000]);
    await using client = session();
    await copyGraph(store, repositoryOf(client, `${proxy.host}/app`), image.manifest, { signal: neverAborted });
    expect(proxy.requests.filter(({ method }) => method === 'PATCH').length).toBeGreaterThan(5);
    const pulled = new MemoryStore();
    await copyGraph(repositoryOf(client, `${registry.host}/app`), pulled, image.manifest, { signal: neverAborted });
    expect(pulled.blobs.size).toBe(4);
  });

  test('in chunks goes on after a break without sending anything twice', async () => {
    await using registry = await startRegistry();
    let patches = 0;
    await using proxy = await startFaultyProxy(registry.url, ({ method }) => {
      if (method === 'PATCH') patches += 1;
      return method === 'PATCH' && patches === 2 ? { kind: 'reset' } : undefined;
    });
    const store = new MemoryStore();
    const big = store.add('application/octet-stream', Buffer.alloc(1_000_000, 5));
    await using client = session({ chunkSize: 300_000 });
    const outcome = await repositoryOf(client, `${proxy.host}/app`).put(big, () => store.open(big), {
      signal: neverAborted,
    });
    expect(outcome).toBe('written');
    expect(store.opens).toHaveLength(1);
    expect(patches).toBe(5);
  });
});

describe('what a registry says besides', () => {
  test('in Warning headers is passed on once, without control characters', async () => {
    await using server = await startCanary((request, response) => {
      if (request.path !== '/v2/') response.setHeader('warning', '299 - "old \\"api\\"\tis gone", 199 - "other"');
      response.end('{"tags":[]}');
    });
    const said: string[] = [];
    await using client = session({ onWarning: (host, text) => said.push(`${host}: ${text}`) });
    for (const name of ['a', 'b'])
      for await (const _tag of repositoryOf(client, `${server.host}/${name}`).tags(neverAborted));
    expect(said).toEqual([`${server.host}: old "api" is gone`]);
  });

  test('about limits is in the error, with how long to wait', async () => {
    await using server = await startCanary((request, response) => {
      if (request.path === '/v2/') response.end();
      else
        response
          .writeHead(429, { 'retry-after': '3600' })
          .end('{"errors":[{"code":"TOOMANYREQUESTS","message":"slow\\u001b[31m down"}]}');
    });
    await using client = session();
    const error = await rejectionOf(repositoryOf(client, `${server.host}/app`).fetchManifest('latest', neverAborted));
    expect(error).toMatchObject({
      code: 'registry-rate-limited',
      message: expect.stringMatching(/429 TOOMANYREQUESTS: slow \[31m down$/),
      hint: expect.stringContaining('3600 s'),
    });
    // The second is the greeting: whoever is known may be allowed more.
    expect(server.requests.map(({ path }) => path)).toEqual([
      '/v2/app/manifests/latest',
      '/v2/',
      '/v2/app/manifests/latest',
    ]);
  });

  test('that takes connections and never answers is given up after two rounds', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => void sockets.push(socket.on('error', () => {})));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    await using client = session({ timeouts: { headers: 300, connect: 300 }, retry: { attempts: 9, baseDelay: 1 } });
    const error = await rejectionOf(repositoryOf(client, `127.0.0.1:${port}/app`).resolve('latest', neverAborted));
    for (const socket of sockets) socket.destroy();
    silent.close();
    expect(error).toMatchObject({ code: 'registry-timeout' });
    // Http and https, twice.
    expect(sockets).toHaveLength(4);
  });

  test('in plain http is believed only of loopback and of hosts declared insecure', async () => {
    const { schemesFor } = await import('../../src/registry/client/endpoint.ts');
    expect(schemesFor('registry.example:5000', {})).toEqual(['https']);
    expect(schemesFor('registry.example:5000', { insecure: true })).toEqual(['https', 'http']);
    expect(schemesFor('[::1]:5000', {})).toEqual(['http', 'https']);
    expect(schemesFor('127.0.0.1.example', {})).toEqual(['https']);
  });
});
