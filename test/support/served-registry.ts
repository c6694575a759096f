/**
 * `tsbuild registry serve` over a real store, and raw HTTP to it: for the rules of the OCI distribution spec 1.1 as its
 * conformance suite asks them.
 */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect } from 'vitest';
import { servedStore } from '../../src/cli/ports/served-store.ts';
import { mediaTypes } from '../../src/image/index.ts';
import { type LocalStore, openStore } from '../../src/layers/index.ts';
import { type RegistryServer, serveRegistry } from '../../src/registry/index.ts';
import { type TemporaryFolder, temporaryFolder } from './temporary-folder.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
  readonly json: () => unknown;
}

export interface Pushed {
  readonly bytes: Buffer;
  readonly digest: string;
}

export function expectRefusal(answer: Answer, status: number, code: string): void {
  expect([answer.status, (answer.json() as { errors: { code: string }[] }).errors[0]?.code]).toEqual([status, code]);
}

export const digestBy = (algorithm: string, bytes: Buffer) =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
export const sha256 = (bytes: Buffer) => digestBy('sha256', bytes);
export const missing = () => sha256(randomBytes(16));

export const withDigest = (location: string, digest: string) =>
  `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`;

export const asDescriptor = ({ bytes, digest }: Pushed) => ({
  mediaType: mediaTypes.ociManifest,
  digest,
  size: bytes.byteLength,
});

/** For the tests of a file: the server lives as long as they run. */
export function servedRegistry() {
  let folder: TemporaryFolder;
  let store: LocalStore;
  let server: RegistryServer;
  beforeAll(async () => {
    folder = temporaryFolder('conformance');
    store = await openStore(folder.join('store'));
    server = await serveRegistry({ storage: servedStore(store), uploadFolder: store.temporaryFolder() });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await store?.close();
    await folder[Symbol.asyncDispose]();
  });

  /** One request; a path that does not begin with /v2/ is below it. */
  async function ask(
    method: string,
    path: string,
    body?: Buffer,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const url = `${server.url}${path.startsWith('/v2/') ? path : `/v2/${path}`}`;
    const response = await fetch(url, { method, headers, ...(body && { body: new Uint8Array(body) }) });
    const bytes = Buffer.from(await response.arrayBuffer());
    return {
      status: response.status,
      headers: response.headers,
      body: bytes,
      json: () => JSON.parse(bytes.toString()) as unknown,
    };
  }

  let repositories = 0;
  const newRepository = () => {
    repositories += 1;
    return `conformance/repo${repositories}`;
  };

  async function openUpload(repository: string, query = ''): Promise<string> {
    const answer = await ask('POST', `${repository}/blobs/uploads/${query}`);
    expect(answer.status).toBe(202);
    return answer.headers.get('location') ?? '';
  }

  /** Pushes a blob and resolves to its digest. */
  async function pushBlob(repository: string, bytes = randomBytes(512), algorithm = 'sha256'): Promise<string> {
    const digest = digestBy(algorithm, bytes);
    expect((await ask('POST', `${repository}/blobs/uploads/?digest=${digest}`, bytes)).status).toBe(201);
    return digest;
  }

  async function manifestOf(repository: string, more: Readonly<Record<string, unknown>> = {}): Promise<Pushed> {
    const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', unique: missing() }));
    const layer = randomBytes(300);
    await pushBlob(repository, config);
    await pushBlob(repository, layer);
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        config: { mediaType: mediaTypes.ociConfig, digest: sha256(config), size: config.byteLength },
        layers: [{ mediaType: mediaTypes.ociLayerTar, digest: sha256(layer), size: layer.byteLength }],
        ...more,
      }),
    );
    return { bytes, digest: sha256(bytes) };
  }

  const putManifest = (repository: string, reference: string, bytes: Buffer, type: string = mediaTypes.ociManifest) =>
    ask('PUT', `${repository}/manifests/${reference}`, bytes, { 'content-type': type });

  /** Pushes an image under a tag, or else its digest. */
  async function pushImage(
    repository: string,
    tag?: string,
    more: Readonly<Record<string, unknown>> = {},
  ): Promise<Pushed> {
    const image = await manifestOf(repository, more);
    expect((await putManifest(repository, tag ?? image.digest, image.bytes)).status).toBe(201);
    return image;
  }

  return { store: () => store, ask, newRepository, openUpload, pushBlob, manifestOf, putManifest, pushImage };
}
