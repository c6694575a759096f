/**
 * A repository of a registry as a place that keeps images: the `BlobSource` and `BlobSink` that pull, push and copy work
 * with, and what else a repository offers.
 * Invariant: reading may be served by a mirror, because what comes is verified; writing and listing ask the registry.
 */
import { isTsbuildError } from '../../core/index.ts';
import {
  type BlobSink,
  type BlobSource,
  type Descriptor,
  type Digest,
  digestOf,
  isDigest,
  isIndexType,
  isManifestType,
  maxManifestBytes,
  mediaTypes,
  type PutOptions,
  parseManifest,
  parseReference,
  type Reference,
  repositoryName,
} from '../../image/index.ts';
import { mergeScopes, repositoryScope } from '../auth/scope.ts';
import { isNotFound, isRegistryError, RegistryError } from '../errors.ts';
import { drain } from '../http/read-body.ts';
import { isTransientStatus, type RetryPolicy } from '../http/retry.ts';
import { responseError } from '../response-error.ts';
import { type DownloadPort, downloadBlob } from './blob-download.ts';
import { uploadBlob } from './blob-upload.ts';
import { type Endpoint, isEndpointFailure } from './endpoint.ts';
import {
  acceptHeader,
  checkStoredDigest,
  descriptorOfHead,
  type FetchedManifest,
  readManifestResponse,
} from './manifest-requests.ts';
import { maxPageBytes, pages } from './pages.ts';
import { ofArtifactType, referrerEntry, referrersOfPage, referrersTag, withReferrer } from './referrers.ts';
import type { UploadPort } from './upload-session.ts';

export interface RegistryRepository extends BlobSource, BlobSink {
  /** Without tag and digest. */
  readonly registry: string;
  readonly repository: string;
  /** The bytes of a manifest or index under a tag or a digest, verified. One request. */
  fetchManifest(reference: string, signal: AbortSignal): Promise<FetchedManifest>;
  /** In the registry's order, usually sorted. */
  tags(signal: AbortSignal): AsyncIterable<string>;
  /**
   * Deletes a manifest by digest, with all tags that name it, or a tag alone where the registry can.
   * @throws RegistryError `registry-unsupported` where it cannot or does not allow it
   */
  delete(reference: string, signal: AbortSignal): Promise<void>;
  deleteBlob(digest: Digest, signal: AbortSignal): Promise<void>;
  /** Manifests that name `digest` as their subject; by the API or, where there is none, by the fallback tag. */
  referrers(
    digest: Digest,
    options: { readonly artifactType?: string; readonly signal: AbortSignal },
  ): Promise<readonly Descriptor[]>;
}

export interface RepositoryParts {
  readonly reference: Reference;
  /** The registry itself. */
  readonly endpoint: Endpoint;
  /** Asked first, in order, for reading. */
  readonly mirrors: readonly Endpoint[];
  readonly retry: RetryPolicy;
  readonly chunkSize: number;
}

type ReadAttempt<T> = (endpoint: Endpoint, path: string) => Promise<T>;

export class Repository implements RegistryRepository {
  /** A registry takes a manifest only when it holds what the manifest refers to. */
  readonly complete = true;
  readonly name: string;
  readonly registry: string;
  readonly repository: string;
  readonly #parts: RepositoryParts;
  readonly #path: string;
  /** Digests that `has` just found missing, so that `put` need not ask again. */
  readonly #absent = new Set<Digest>();
  /** Manifests that passed through, for `tag`: bounded, newest kept. */
  readonly #manifests = new Map<Digest, FetchedManifest>();

  constructor(parts: RepositoryParts) {
    this.#parts = parts;
    this.registry = parts.reference.registry;
    this.repository = parts.reference.repository;
    this.name = `registry ${repositoryName(parts.reference)}`;
    this.#path = parts.endpoint.repositoryPath(this.repository);
  }

  async resolve(reference: string, signal: AbortSignal): Promise<Descriptor> {
    const name = checkedName(reference, this.#parts.reference);
    const wanted = isDigest(name) ? name : undefined;
    return this.#read(async (endpoint, path) => {
      const target = `${path}/manifests/${name}`;
      const request = {
        target,
        headers: { accept: acceptHeader },
        scopes: pullScopes(path),
        signal,
        readWhole: maxManifestBytes,
      };
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

  async fetchManifest(reference: string, signal: AbortSignal): Promise<FetchedManifest> {
    const name = checkedName(reference, this.#parts.reference);
    const wanted = isDigest(name) ? name : undefined;
    return this.#read(async (endpoint, path) => {
      const target = `${path}/manifests/${name}`;
      const exchange = await endpoint.expect(
        {
          method: 'GET',
          target,
          headers: { accept: acceptHeader },
          scopes: pullScopes(path),
          signal,
          readWhole: maxManifestBytes,
        },
        [200],
      );
      return this.#remember(await readManifestResponse(exchange, wanted));
    });
  }

  async open(descriptor: Descriptor, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    if (isDocument(descriptor)) {
      const known = this.#manifests.get(descriptor.digest) ?? (await this.fetchManifest(descriptor.digest, signal));
      if (known.bytes.byteLength !== descriptor.size) {
        throw new RegistryError({
          code: 'registry-digest-mismatch',
          message: `${this.name}: the manifest ${descriptor.digest} has ${known.bytes.byteLength} bytes, not ${descriptor.size}`,
          hint: 'The document that refers to it is damaged; push the image again.',
        });
      }
      return once(known.bytes);
    }
    const port: DownloadPort = {
      retry: this.#parts.retry,
      // A mirror that broke off twice is left alone: the registry itself has the rest.
      fetch: (offset, failures) =>
        this.#read((endpoint, path) => requestBlob(endpoint, path, descriptor.digest, offset, signal), failures < 2),
    };
    return downloadBlob(port, descriptor, signal);
  }

  async has(descriptor: Descriptor, signal: AbortSignal): Promise<boolean> {
    const kind = isDocument(descriptor) ? 'manifests' : 'blobs';
    const { endpoint } = this.#parts;
    const { response } = await endpoint.expect(
      {
        method: 'HEAD',
        target: `${this.#path}/${kind}/${descriptor.digest}`,
        headers: kind === 'manifests' ? { accept: acceptHeader } : {},
        scopes: this.#pushScopes(),
        signal,
      },
      [200, 404],
    );
    await drain(response);
    const there = response.status === 200;
    if (there) this.#absent.delete(descriptor.digest);
    else this.#absent.add(descriptor.digest);
    return there;
  }

  async put(
    descriptor: Descriptor,
    open: () => Promise<AsyncIterable<Uint8Array>>,
    options: PutOptions,
  ): Promise<'written' | 'mounted' | 'exists'> {
    if (isDocument(descriptor)) {
      await this.#putManifest(descriptor.digest, descriptor, await collect(open, descriptor), options.signal);
      return 'written';
    }
    if (!this.#absent.delete(descriptor.digest) && (await this.has(descriptor, options.signal))) return 'exists';
    return uploadBlob(this.#uploadPort(descriptor), descriptor, open, this.#mountCandidates(options), options);
  }

  async tag(descriptor: Descriptor, reference: string, signal: AbortSignal): Promise<void> {
    const name = checkedName(reference, this.#parts.reference);
    const known = this.#manifests.get(descriptor.digest) ?? (await this.fetchManifest(descriptor.digest, signal));
    await this.#putManifest(name, descriptor, known.bytes, signal);
  }

  tags(signal: AbortSignal): AsyncIterable<string> {
    const scopes = pullScopes(this.#path);
    return pages(
      `${this.#path}/tags/list?n=1000`,
      (target) =>
        this.#parts.endpoint.expect({ method: 'GET', target, scopes, signal, readWhole: maxPageBytes }, [200]),
      (document) => stringsOf(document.tags),
    );
  }

  async delete(reference: string, signal: AbortSignal): Promise<void> {
    const name = checkedName(reference, this.#parts.reference);
    try {
      await this.#delete(`${this.#path}/manifests/${name}`, signal);
    } catch (error) {
      // Registries that delete by digest only answer a tag with 400, 404 or 405; a missing tag has its own code.
      const refused = isRegistryError(error) && [400, 405].includes(error.status ?? 0) && !isDigest(name);
      if (!refused) throw error;
      throw new RegistryError({
        code: 'registry-unsupported',
        message: `${this.name} does not delete a single tag (${error.message})`,
        hint: `Delete the image by its digest, which takes off all its tags: tsbuild delete ${repositoryName(this.#parts.reference)}@sha256:…`,
        cause: error,
      });
    }
    if (isDigest(name)) this.#manifests.delete(name);
  }

  deleteBlob(digest: Digest, signal: AbortSignal): Promise<void> {
    return this.#delete(`${this.#path}/blobs/${digest}`, signal);
  }

  async referrers(
    digest: Digest,
    options: { readonly artifactType?: string; readonly signal: AbortSignal },
  ): Promise<readonly Descriptor[]> {
    const { artifactType, signal } = options;
    const scopes = pullScopes(this.#path);
    const query = artifactType === undefined ? '' : `?${new URLSearchParams({ artifactType })}`;
    const found: Descriptor[] = [];
    const ask = (target: string | URL) =>
      this.#parts.endpoint.expect(
        { method: 'GET', target, headers: { accept: mediaTypes.ociIndex }, scopes, signal, readWhole: maxPageBytes },
        [200],
      );
    try {
      for await (const item of pages(`${this.#path}/referrers/${digest}${query}`, ask, referrersOfPage))
        found.push(item);
      return ofArtifactType(found, artifactType);
    } catch (error) {
      if (!lacksReferrers(error)) throw error;
      return ofArtifactType(await this.#fallbackReferrers(digest, signal), artifactType);
    }
  }

  async #fallbackReferrers(digest: Digest, signal: AbortSignal): Promise<readonly Descriptor[]> {
    try {
      const { bytes, descriptor } = await this.fetchManifest(referrersTag(digest), signal);
      const document = parseManifest(bytes, descriptor.mediaType);
      return document.kind === 'index' ? document.manifests : [];
    } catch (error) {
      if (isNotFound(error)) return [];
      throw error;
    }
  }

  async #putManifest(name: string, descriptor: Descriptor, bytes: Buffer, signal: AbortSignal): Promise<void> {
    const exchange = await this.#parts.endpoint.expect(
      {
        method: 'PUT',
        target: `${this.#path}/manifests/${name}`,
        headers: { 'content-type': descriptor.mediaType },
        body: { kind: 'bytes', bytes },
        scopes: this.#pushScopes(),
        signal,
      },
      [201, 200, 202],
    );
    await drain(exchange.response);
    checkStoredDigest(exchange, descriptor.digest);
    this.#remember({ descriptor, bytes });
    if (!exchange.response.headers.has('oci-subject')) await this.#keepReferrer(descriptor, bytes, signal);
  }

  /** A registry that does not say it took notice of the subject leaves the list of referrers to its clients. */
  async #keepReferrer(descriptor: Descriptor, bytes: Buffer, signal: AbortSignal): Promise<void> {
    const document = parseManifest(bytes, descriptor.mediaType);
    if (document.subject === undefined) return;
    const { digest } = document.subject;
    const existing = await this.#fallbackReferrers(digest, signal);
    const index = withReferrer(existing, referrerEntry(descriptor, document));
    if (!index) return;
    const listed: Descriptor = { mediaType: mediaTypes.ociIndex, digest: digestOf(index), size: index.byteLength };
    await this.#putManifest(referrersTag(digest), listed, index, signal);
  }

  async #delete(target: string, signal: AbortSignal): Promise<void> {
    const scopes = [repositoryScope(this.#path, 'pull,push,delete')];
    const { response } = await this.#parts.endpoint.expect(
      { method: 'DELETE', target, scopes, signal },
      [202, 200, 204],
    );
    await drain(response);
  }

  /** Mirrors first; the registry's own failure is the one that is thrown. */
  async #read<T>(attempt: ReadAttempt<T>, mirrors = true): Promise<T> {
    for (const mirror of mirrors ? this.#parts.mirrors : []) {
      try {
        return await attempt(mirror, mirror.repositoryPath(this.repository));
      } catch (error) {
        if (!isEndpointFailure(error)) throw error;
      }
    }
    return attempt(this.#parts.endpoint, this.#path);
  }

  #uploadPort(descriptor: Descriptor): UploadPort {
    const { endpoint, retry, chunkSize } = this.#parts;
    return {
      retry,
      chunkSize,
      uploadsPath: `${this.#path}/blobs/uploads/`,
      expect: (request, statuses) => endpoint.expect(request, statuses),
      scopes: (from) => (from === undefined ? this.#pushScopes() : mergeScopes(this.#pushScopes(), pullScopes(from))),
      exists: (signal) => this.has(descriptor, signal),
    };
  }

  /** Repositories of this registry among those known to hold a blob. */
  #mountCandidates(options: PutOptions): readonly string[] {
    return [...new Set(options.knownIn ?? [])].flatMap((name) => {
      const { registry, repository } = parseReference(name);
      return registry === this.registry && repository !== this.repository
        ? [this.#parts.endpoint.repositoryPath(repository)]
        : [];
    });
  }

  #pushScopes(): readonly string[] {
    return [repositoryScope(this.#path, 'pull,push')];
  }

  #remember(manifest: FetchedManifest): FetchedManifest {
    this.#manifests.delete(manifest.descriptor.digest);
    this.#manifests.set(manifest.descriptor.digest, manifest);
    let total = [...this.#manifests.values()].reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
    for (const [digest, { bytes }] of this.#manifests) {
      if (total <= 2 * maxManifestBytes) break;
      this.#manifests.delete(digest);
      total -= bytes.byteLength;
    }
    return manifest;
  }
}

function requestBlob(endpoint: Endpoint, path: string, digest: Digest, offset: number, signal: AbortSignal) {
  return endpoint.expect(
    {
      method: 'GET',
      target: `${path}/blobs/${digest}`,
      headers: { 'accept-encoding': 'identity', ...(offset > 0 && { range: `bytes=${offset}-` }) },
      scopes: pullScopes(path),
      download: true,
      signal,
    },
    offset > 0 ? [200, 206] : [200],
  );
}

function pullScopes(path: string): readonly string[] {
  return [repositoryScope(path, 'pull')];
}

/** A tag or a digest; also `name:tag` and `name@digest` of this repository, as people write them. */
function checkedName(reference: string, own: Reference): string {
  if (isDigest(reference)) return reference;
  const bare = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/.test(reference);
  const parsed = parseReference(bare ? `${repositoryName(own)}:${reference}` : reference);
  if (repositoryName(parsed) !== repositoryName(own)) {
    throw new RegistryError({
      code: 'registry-refused',
      message: `${reference} is not in the repository ${repositoryName(own)}`,
    });
  }
  return parsed.digest ?? parsed.tag ?? 'latest';
}

function isDocument(descriptor: Descriptor): boolean {
  return isManifestType(descriptor.mediaType) || isIndexType(descriptor.mediaType);
}

/** 404 from a registry without the API, 400 and 405 from some proxies in front of one. */
function lacksReferrers(error: unknown): boolean {
  if (isTsbuildError(error) && error.code === 'registry-protocol') return true;
  return isRegistryError(error) && [400, 404, 405, 501].includes(error.status ?? 0);
}

function stringsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

async function collect(open: () => Promise<AsyncIterable<Uint8Array>>, descriptor: Descriptor): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of await open()) {
    length += chunk.byteLength;
    if (length > maxManifestBytes) break;
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  if (
    length === descriptor.size &&
    (descriptor.digest.startsWith('sha512:') || digestOf(bytes) === descriptor.digest)
  ) {
    return bytes;
  }
  throw new RegistryError({
    code: 'registry-digest-mismatch',
    message: `the manifest ${descriptor.digest} to upload does not have that digest and ${descriptor.size} bytes`,
    hint: 'The place it comes from holds a damaged manifest: pull or build the image again.',
  });
}
