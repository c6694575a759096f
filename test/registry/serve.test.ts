import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { copyGraph, digestOf, mediaTypes, serializeManifest } from '../../src/image/index.ts';
import { type RegistryServer, type RegistryServerOptions, serveRegistry } from '../../src/registry/index.ts';
import { MemoryStorage } from '../support/memory-storage.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { neverAborted, pushTo, rejectionOf, repositoryOf, session } from '../support/registry-session.ts';
import { addImage, addIndex } from '../support/sample-images.ts';

const run = promisify(execFile);

let folder: string;
let storage: MemoryStorage;
let server: RegistryServer;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tsbuild-serve-test-'));
  await serve();
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  expect(readdirSync(folder)).toEqual([]);
  rmSync(folder, { recursive: true, force: true });
});

async function serve(options: Partial<RegistryServerOptions> = {}): Promise<void> {
  storage = new MemoryStorage();
  server = await serveRegistry({ storage, uploadFolder: folder, ...options });
}

/** Status, headers and body of one request; the path is below /v2/. */
async function ask(method: string, path: string, body?: Buffer | string, headers: Record<string, string> = {}) {
  const url = path.startsWith('/v2/') ? `${server.url}${path}` : `${server.url}/v2/${path}`;
  const response = await fetch(url, {
    method,
    headers,
    ...(body !== undefined && { body: new Uint8Array(Buffer.from(body)) }),
  });
  const text = Buffer.from(await response.arrayBuffer());
  const error = response.status >= 400 && text.byteLength > 0 ? JSON.parse(text.toString()).errors[0].code : undefined;
  return { status: response.status, headers: response.headers, body: text, error };
}

const hello = Buffer.from('hello world');
const helloDigest = digestOf(hello);

async function pushHello(repository = 'app'): Promise<void> {
  expect((await ask('POST', `${repository}/blobs/uploads/?digest=${helloDigest}`, hello)).status).toBe(201);
}

describe('a client of the server', () => {
  test('pushes and pulls an index, whole and in chunks', async () => {
    for (const chunkSize of [0, 70_000]) {
      const store = new MemoryStore();
      const images = new Map(['amd64', 'arm64'].map((arch) => [arch, addImage(store, [5, 200_000], arch)]));
      const index = addIndex(store, images);
      await using client = session({ chunkSize });
      const repository = repositoryOf(client, `${server.host}/team/app${chunkSize}`);
      await pushTo(repository, store, index, 'v1');
      const pulled = new MemoryStore();
      await copyGraph(repository, pulled, await repository.resolve('v1', neverAborted), { signal: neverAborted });
      expect([...pulled.blobs.keys()].sort()).toEqual([...store.blobs.keys()].sort());
    }
  });

  test('may be skopeo, in and out', async () => {
    const store = new MemoryStore();
    const index = addIndex(store, new Map(['amd64', 'arm64'].map((arch) => [arch, addImage(store, [5_000], arch)])));
    await using client = session();
    await pushTo(repositoryOf(client, `${server.host}/a`), store, index, 'v1');
    const docker = (name: string) => `docker://${server.host}/${name}:v1`;
    const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false'];
    await run('skopeo', ['copy', '--all', ...insecure, docker('a'), docker('b')]);
    const { stdout } = await run('skopeo', ['inspect', '--tls-verify=false', '--raw', docker('b')]);
    expect(digestOf(stdout)).toBe(index.digest);
    expect(
      JSON.parse((await run('skopeo', ['list-tags', '--tls-verify=false', `docker://${server.host}/b`])).stdout).Tags,
    ).toEqual(['v1']);
    await run('skopeo', ['delete', '--tls-verify=false', docker('b')]);
    expect((await ask('GET', 'b/manifests/v1')).error).toBe('MANIFEST_UNKNOWN');
  });

  test('finds referrers by the API, filtered and not', async () => {
    const store = new MemoryStore();
    const { manifest, config } = addImage(store, [10]);
    const artifact = store.add(
      mediaTypes.ociManifest,
      serializeManifest({
        kind: 'manifest',
        mediaType: mediaTypes.ociManifest,
        artifactType: 'a/b',
        config,
        layers: [],
        subject: manifest,
      }),
    );
    await using client = session();
    const repository = repositoryOf(client, `${server.host}/app`);
    await pushTo(repository, store, manifest);
    await copyGraph(store, repository, artifact, { signal: neverAborted });
    const found = await ask('GET', `app/referrers/${manifest.digest}?artifactType=a/b`);
    expect(found.headers.get('oci-filters-applied')).toBe('artifactType');
    expect(found.headers.get('content-type')).toBe(mediaTypes.ociIndex);
    expect(JSON.parse(found.body.toString()).manifests).toMatchObject([
      { digest: artifact.digest, artifactType: 'a/b' },
    ]);
    expect(await repository.referrers(manifest.digest, { artifactType: 'c/d', signal: neverAborted })).toEqual([]);
    expect(await repository.referrers(manifest.digest, { signal: neverAborted })).toHaveLength(1);
    await repository.delete(artifact.digest, neverAborted);
    expect(await repository.referrers(manifest.digest, { signal: neverAborted })).toEqual([]);
  });

  test('deletes a tag alone, and a manifest with all its tags', async () => {
    const store = new MemoryStore();
    const { manifest } = addImage(store, [10]);
    await using client = session();
    const repository = repositoryOf(client, `${server.host}/app`);
    await pushTo(repository, store, manifest, 'a');
    for (const tag of ['b', 'c']) await repository.tag(manifest, tag, neverAborted);
    await repository.delete('a', neverAborted);
    expect(await rejectionOf(repository.resolve('a', neverAborted))).toMatchObject({ code: 'registry-not-found' });
    await repository.resolve('b', neverAborted);
    await repository.delete(manifest.digest, neverAborted);
    for (const name of ['b', 'c', manifest.digest]) {
      expect(await rejectionOf(repository.resolve(name, neverAborted))).toMatchObject({ code: 'registry-not-found' });
    }
  });
});

describe('the distribution spec', () => {
  test('blobs are read whole, in part, and not at all', async () => {
    await pushHello();
    const path = `app/blobs/${helloDigest}`;
    const head = await ask('HEAD', path);
    expect([head.status, head.headers.get('content-length'), head.headers.get('docker-content-digest')]).toEqual([
      200,
      '11',
      helloDigest,
    ]);
    expect((await ask('GET', path)).body.toString()).toBe('hello world');
    const part = await ask('GET', path, undefined, { range: 'bytes=6-' });
    expect([part.status, part.body.toString(), part.headers.get('content-range')]).toEqual([
      206,
      'world',
      'bytes 6-10/11',
    ]);
    expect((await ask('GET', path, undefined, { range: 'bytes=2-3' })).body.toString()).toBe('ll');
    expect((await ask('GET', path, undefined, { range: 'bytes=-3' })).body.toString()).toBe('rld');
    expect((await ask('GET', path, undefined, { range: 'bytes=11-' })).status).toBe(416);
    expect((await ask('GET', `app/blobs/sha256:${'0'.repeat(64)}`)).error).toBe('BLOB_UNKNOWN');
  });

  test('an upload in chunks tells where it stands and takes nothing out of order', async () => {
    const start = await ask('POST', 'app/blobs/uploads/');
    const location = start.headers.get('location') ?? '';
    expect(start.status).toBe(202);
    const first = await ask('PATCH', location, hello.subarray(0, 5), { 'content-range': '0-4' });
    expect([first.status, first.headers.get('range')]).toEqual([202, '0-4']);
    const wrong = await ask('PATCH', location, hello.subarray(7), { 'content-range': '7-10' });
    expect([wrong.status, wrong.headers.get('range')]).toEqual([416, '0-4']);
    expect((await ask('GET', location)).headers.get('range')).toBe('0-4');
    expect((await ask('PATCH', location, hello.subarray(5), { 'content-range': '5-10' })).status).toBe(202);
    const end = await ask('PUT', `${location}?digest=${helloDigest}`);
    expect([end.status, end.headers.get('location')]).toEqual([201, `/v2/app/blobs/${helloDigest}`]);
    expect((await ask('GET', location)).error).toBe('BLOB_UPLOAD_UNKNOWN');
  });

  test('an upload can be cancelled, and belongs to its repository', async () => {
    const location = (await ask('POST', 'app/blobs/uploads/')).headers.get('location') ?? '';
    expect((await ask('PATCH', location.replace('/app/', '/other/'), hello)).error).toBe('BLOB_UPLOAD_UNKNOWN');
    expect((await ask('DELETE', location)).status).toBe(204);
    expect((await ask('PUT', `${location}?digest=${helloDigest}`, hello)).error).toBe('BLOB_UPLOAD_UNKNOWN');
  });

  test('bytes that do not have their digest are refused and not kept', async () => {
    const other = `sha256:${'0'.repeat(64)}`;
    expect(await ask('POST', `app/blobs/uploads/?digest=${other}`, hello)).toMatchObject({
      status: 400,
      error: 'DIGEST_INVALID',
    });
    const location = (await ask('POST', 'app/blobs/uploads/')).headers.get('location');
    expect(await ask('PUT', `${location}?digest=nonsense`, hello)).toMatchObject({
      status: 400,
      error: 'DIGEST_INVALID',
    });
    expect(storage.store.blobs.size).toBe(0);
  });

  test('a blob that is here is mounted, one that is not opens an upload', async () => {
    await pushHello();
    expect((await ask('POST', `other/blobs/uploads/?mount=${helloDigest}&from=app`)).status).toBe(201);
    expect((await ask('POST', `other/blobs/uploads/?mount=sha256:${'0'.repeat(64)}&from=app`)).status).toBe(202);
  });

  test.each([
    [
      'a manifest whose blobs are missing',
      { config: { mediaType: 'a/b', digest: `sha256:${'0'.repeat(64)}`, size: 3 } },
      404,
      'MANIFEST_BLOB_UNKNOWN',
    ],
    ['a manifest without a configuration', {}, 400, 'MANIFEST_INVALID'],
    ['a document that is manifest and index at once', { manifests: [], config: {} }, 400, 'MANIFEST_INVALID'],
  ])('%s is refused', async (_what, members, status, error) => {
    const document = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, layers: [], ...members });
    expect(await ask('PUT', 'app/manifests/v1', document, { 'content-type': mediaTypes.ociManifest })).toMatchObject({
      status,
      error,
    });
    expect((await ask('GET', 'app/tags/list')).error).toBe('NAME_UNKNOWN');
  });

  test('a manifest under a digest it does not have, or of more than 4 MiB, is refused', async () => {
    const type = { 'content-type': mediaTypes.ociIndex };
    const index = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] });
    expect(await ask('PUT', `app/manifests/sha256:${'0'.repeat(64)}`, index, type)).toMatchObject({
      status: 400,
      error: 'DIGEST_INVALID',
    });
    expect(await ask('PUT', 'app/manifests/v1', index.padEnd(4 * 1024 * 1024 + 1), type)).toMatchObject({
      status: 413,
      error: 'SIZE_INVALID',
    });
    expect((await ask('PUT', 'app/manifests/v1', index, type)).headers.get('docker-content-digest')).toBe(
      digestOf(index),
    );
  });

  test('tags and repositories are listed in order and in pages', async () => {
    const index = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] });
    for (const tag of ['c', 'a', 'b'])
      await ask('PUT', `app/manifests/${tag}`, index, { 'content-type': mediaTypes.ociIndex });
    await ask('PUT', 'b/c/manifests/x', index, { 'content-type': mediaTypes.ociIndex });
    const first = await ask('GET', 'app/tags/list?n=2');
    expect(JSON.parse(first.body.toString())).toEqual({ name: 'app', tags: ['a', 'b'] });
    expect(first.headers.get('link')).toBe('</v2/app/tags/list?n=2&last=b>; rel="next"');
    expect(JSON.parse((await ask('GET', 'app/tags/list?n=2&last=b')).body.toString()).tags).toEqual(['c']);
    await using client = session();
    const names: string[] = [];
    for await (const name of client.catalog(server.host, neverAborted)) names.push(name);
    expect(names).toEqual(['app', 'b/c']);
  });

  test.each([
    ['GET', 'UPPER/tags/list', 400, 'NAME_INVALID'],
    ['GET', '../x/tags/list', 404, 'UNSUPPORTED'],
    ['GET', 'app/blobs/sha256:..%2f..%2fetc', 400, 'DIGEST_INVALID'],
    ['GET', 'app/manifests/.hidden', 400, 'TAG_INVALID'],
    ['GET', 'nothing', 404, 'UNSUPPORTED'],
    ['DELETE', `app/blobs/${helloDigest}`, 405, 'UNSUPPORTED'],
    ['POST', 'app/manifests/v1', 405, 'UNSUPPORTED'],
  ])('%s %s is answered with %i', async (method, path, status, error) => {
    expect(await ask(method, path)).toMatchObject({ status, error });
  });
});

describe('a server', () => {
  test('that is read-only takes nothing', async () => {
    await server[Symbol.asyncDispose]();
    await serve({ readOnly: true });
    expect((await ask('POST', 'app/blobs/uploads/')).status).toBe(405);
    expect((await ask('GET', '')).status).toBe(200);
  });

  test('that stops removes what was being uploaded', async () => {
    const location = (await ask('POST', 'app/blobs/uploads/')).headers.get('location') ?? '';
    await ask('PATCH', location, hello);
    expect(readdirSync(folder)).toHaveLength(1);
    // afterEach stops it and looks.
  });

  test('says where it cannot listen', async () => {
    const error = await rejectionOf(
      serveRegistry({ storage, uploadFolder: folder, port: Number(server.host.split(':')[1]) }),
    );
    expect(error).toMatchObject({ code: 'registry-config', message: expect.stringContaining('in use') });
  });
});
