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
