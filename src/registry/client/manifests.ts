/**
 * The manifests and indexes of a repository: found by tag or digest, read, written.
 * Invariant: bytes leave and enter exactly as they are, and only when their digest is right.
 */
import {
  type Descriptor,
  type Digest,
  digestOf,
  isDigest,
  maxManifestBytes,
  prepareHashing,
} from '../../image/index.ts';
import { isNotFound, RegistryError } from '../errors.ts';
import { drain } from '../http/read-body.ts';
import { isTransientStatus } from '../http/retry.ts';
import { responseError } from '../response-error.ts';
import type { Endpoint } from './endpoint.ts';
import {
  acceptHeader,
  checkStoredDigest,
  descriptorOfHead,
  type FetchedManifest,
  readManifestResponse,
} from './manifest-requests.ts';
import { pullScopes, type RepositoryAccess } from './repository-access.ts';
import type { Exchange } from './upload-session.ts';

export class Manifests {
  readonly #access: RepositoryAccess;
  /** What passed through, for `tag`: bounded, newest kept. */
  readonly #recent = new Map<Digest, FetchedManifest>();

  constructor(access: RepositoryAccess) {
    this.#access = access;
  }

  /** One HEAD, where the registry answers it fully. */
  resolve(name: string, signal: AbortSignal): Promise<Descriptor> {
    const wanted = isDigest(name) ? name : undefined;
    return this.#access.read(async (endpoint, path) => {
      const request = manifestRequest(path, name, signal);
      const head = await endpoint.send({ ...request, method: 'HEAD' });
      await drain(head.response);
      const known = head.response.status === 200 ? descriptorOfHead(head, wanted) : undefined;
      if (known) return known;
      if (isTransientStatus(head.response.status)) throw await responseError(head.request, head.response, Date.now());
      // The answer to a HEAD has no body to explain a failure, and some registries leave headers out: a GET settles both.
      const fetched = await readManifestResponse(await endpoint.expect({ ...request, method: 'GET' }, [200]), wanted);
      return this.#remember(fetched).descriptor;
    });
  }

  /** The same of a tag that need not be there: one request more only where the registry's answer leaves something out. */
  async find(tag: string, signal: AbortSignal): Promise<Descriptor | undefined> {
    try {
      return await this.#access.read(async (endpoint, path) => {
        const request = manifestRequest(path, tag, signal);
        const head = await endpoint.expect({ ...request, method: 'HEAD' }, [200]);
        await drain(head.response);
        const known = descriptorOfHead(head, undefined);
        if (known) return known;
        const exchange = await endpoint.expect({ ...request, method: 'GET' }, [200]);
        return this.#remember(await readManifestResponse(exchange, undefined)).descriptor;
      });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** @param mirrors false: what the registry itself says now, e.g. before it is changed */
  fetch(name: string, signal: AbortSignal, mirrors = true): Promise<FetchedManifest> {
    const wanted = isDigest(name) ? name : undefined;
    return this.#access.read(async (endpoint: Endpoint, path) => {
      const exchange = await endpoint.expect({ ...manifestRequest(path, name, signal), method: 'GET' }, [200]);
      return this.#remember(await readManifestResponse(exchange, wanted));
    }, mirrors);
  }

  /** The bytes of a descriptor. @throws RegistryError `registry-digest-mismatch` when its size is another */
  async bytesOf(descriptor: Descriptor, signal: AbortSignal): Promise<Buffer> {
    const { bytes } = this.#recent.get(descriptor.digest) ?? (await this.fetch(descriptor.digest, signal));
    if (bytes.byteLength === descriptor.size) return bytes;
    throw new RegistryError({
      code: 'registry-digest-mismatch',
      message: `${this.#access.name}: the manifest ${descriptor.digest} has ${bytes.byteLength} bytes, not ${descriptor.size}`,
      hint: 'The document that refers to it is damaged; push the image again.',
    });
  }

  /** Whether these bytes are at hand, so that writing them under another name costs no reading. */
  isAtHand(digest: Digest): boolean {
    return this.#recent.has(digest);
  }

  /** True when the registry itself has this manifest under this tag already. */
  async isTagged(tag: string, digest: Digest, signal: AbortSignal): Promise<boolean> {
    const request = { ...manifestRequest(this.#access.path, tag, signal), scopes: this.#access.pushScopes() };
    const { response } = await this.#access.expect({ ...request, method: 'HEAD' }, [200, 404]);
    await drain(response);
    return response.status === 200 && response.headers.get('docker-content-digest') === digest;
  }

  /** Writes under a tag or under its digest. */
  async put(name: string, descriptor: Descriptor, bytes: Buffer, signal: AbortSignal): Promise<Exchange> {
    const exchange = await this.#access.expect(
      {
        method: 'PUT',
        target: `${this.#access.path}/manifests/${name}`,
        headers: { 'content-type': descriptor.mediaType },
        body: { kind: 'bytes', bytes },
        scopes: this.#access.pushScopes(),
        signal,
      },
      [201, 200, 202],
    );
    await drain(exchange.response);
    checkStoredDigest(exchange, descriptor.digest);
    this.#remember({ descriptor, bytes });
    return exchange;
  }

  forget(digest: Digest): void {
    this.#recent.delete(digest);
  }

  #remember(manifest: FetchedManifest): FetchedManifest {
    this.#recent.delete(manifest.descriptor.digest);
    this.#recent.set(manifest.descriptor.digest, manifest);
    let total = [...this.#recent.values()].reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
    for (const [digest, { bytes }] of this.#recent) {
      if (total <= 2 * maxManifestBytes) break;
      this.#recent.delete(digest);
      total -= bytes.byteLength;
    }
    return manifest;
  }
}

function manifestRequest(path: string, name: string, signal: AbortSignal) {
  return {
    target: `${path}/manifests/${name}`,
    headers: { accept: acceptHeader },
    scopes: pullScopes(path),
    readWhole: maxManifestBytes,
    meanwhile: prepareHashing,
    signal,
  };
}

/** Reads a manifest to upload whole, checked before a byte of it is sent. */
export async function collectManifest(
  open: () => Promise<AsyncIterable<Uint8Array>>,
  descriptor: Descriptor,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of await open()) {
    length += chunk.byteLength;
    if (length > maxManifestBytes) break;
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  const right = descriptor.digest.startsWith('sha512:') || digestOf(bytes) === descriptor.digest;
  if (right && length === descriptor.size) return bytes;
  throw new RegistryError({
    code: 'registry-digest-mismatch',
    message: `the manifest ${descriptor.digest} to upload does not have that digest and ${descriptor.size} bytes`,
    hint: 'The place it comes from holds a damaged manifest: pull or build the image again.',
  });
}
