/**
 * A repository of a registry as a place that keeps images: the `BlobSource` and `BlobSink` that pull, push and copy work
 * with, and what else a repository offers.
 * Invariant: reading may be served by a mirror, because what comes is verified; writing and listing ask the registry.
 */
import { nearest } from '../../core/index.ts';
import {
  type BlobSink,
  type BlobSource,
  type Descriptor,
  type Digest,
  isDigest,
  isDocumentType,
  oneChunk,
  type PutOptions,
  type ResolveOptions,
} from '../../image/index.ts';
import { mergeScopes, repositoryScope } from '../auth/scope.ts';
import { isNotFound, isRegistryError, RegistryError } from '../errors.ts';
import { drain } from '../http/read-body.ts';
import type { RetryPolicy } from '../http/retry.ts';
import { downloadBlob } from './blob-download.ts';
import { uploadBlob } from './blob-upload.ts';
import type { Endpoint } from './endpoint.ts';
import { acceptHeader, type FetchedManifest } from './manifest-requests.ts';
import { collectManifest, Manifests } from './manifests.ts';
import { maxPageBytes, pages } from './pages.ts';
import { Referrers, type ReferrersOptions } from './referrers.ts';
import { pullScopes, RepositoryAccess, type RepositoryPlaces } from './repository-access.ts';
import type { UploadPort } from './upload-session.ts';

export interface RegistryRepository extends BlobSource, BlobSink {
  /** As references name it: `docker.io`. */
  readonly registry: string;
  /** Without tag and digest: `library/alpine`. */
  readonly repository: string;
  /** The bytes of a manifest or index under a tag or a digest, verified. One request. */
  fetchManifest(reference: string, signal: AbortSignal): Promise<FetchedManifest>;
  /** What a tag stands for; undefined when there is none. */
  find(tag: string, signal: AbortSignal): Promise<Descriptor | undefined>;
  /** In the registry's order, which need not be sorted. */
  tags(signal: AbortSignal): AsyncIterable<string>;
  /**
   * Deletes a manifest by digest, with all tags that name it, or a tag alone where the registry can.
   * @throws RegistryError `registry-unsupported` where it cannot or does not allow it
   */
  delete(reference: string, signal: AbortSignal): Promise<void>;
  deleteBlob(digest: Digest, signal: AbortSignal): Promise<void>;
  /** Manifests that name `digest` as their subject; by the API or, where there is none, by the fallback tag. */
  referrers(digest: Digest, options: ReferrersOptions): Promise<readonly Descriptor[]>;
}

/** Enough to find what was meant; a repository may have many thousands. */
const mostTagsCompared = 2000;
const mostTagsNamed = 8;

export interface RepositoryParts extends RepositoryPlaces {
  readonly retry: RetryPolicy;
  /** Bytes; 0: whole blobs. */
  readonly chunkSize: number;
}

export class Repository implements RegistryRepository {
  /** A registry takes a manifest only when it holds what the manifest refers to. */
  readonly complete = true;
  readonly name: string;
  readonly registry: string;
  readonly repository: string;
  readonly #parts: RepositoryParts;
  readonly #access: RepositoryAccess;
  readonly #manifests: Manifests;
  readonly #referrers: Referrers;
  /** Digests that `has` just found missing, so that `put` need not ask again. */
  readonly #absent = new Set<Digest>();

  constructor(parts: RepositoryParts) {
    this.#parts = parts;
    this.registry = parts.reference.registry;
    this.repository = parts.reference.repository;
    this.#access = new RepositoryAccess(parts);
    this.name = this.#access.name;
    this.#manifests = new Manifests(this.#access);
    this.#referrers = new Referrers(this.#access, this.#manifests);
  }

  async resolve(reference: string, signal: AbortSignal, options: ResolveOptions = {}): Promise<Descriptor> {
    const name = this.#access.checkedName(reference);
    try {
      if (options.alsoRead) return (await this.#manifests.fetch(name, signal)).descriptor;
      return await this.#manifests.resolve(name, signal);
    } catch (error) {
      if (!isRegistryError(error) || !isNotFound(error) || isDigest(name)) throw error;
      throw await this.#missingTag(name, error, signal);
    }
  }

  async fetchManifest(reference: string, signal: AbortSignal): Promise<FetchedManifest> {
    return this.#manifests.fetch(this.#access.checkedName(reference), signal);
  }

  find(tag: string, signal: AbortSignal): Promise<Descriptor | undefined> {
    return this.#manifests.find(tag, signal);
  }

  async open(descriptor: Descriptor, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    if (isDocumentType(descriptor.mediaType)) return oneChunk(await this.#manifests.bytesOf(descriptor, signal));
    return this.#download(descriptor, { verify: true, from: 0 }, signal);
  }

  async openUnverified(descriptor: Descriptor, signal: AbortSignal, from = 0): Promise<AsyncIterable<Uint8Array>> {
    if (!isDocumentType(descriptor.mediaType)) return this.#download(descriptor, { verify: false, from }, signal);
    return oneChunk((await this.#manifests.bytesOf(descriptor, signal)).subarray(from));
  }

  #download(
    descriptor: Descriptor,
    part: { readonly verify: boolean; readonly from: number },
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>> {
    return downloadBlob(
      {
        ...part,
        retry: this.#parts.retry,
        // A mirror that broke off twice is left alone: the registry itself has the rest.
        fetch: (offset, failures) =>
          this.#access.read(
            (endpoint, path) => requestBlob(endpoint, path, descriptor.digest, offset, signal),
            failures < 2,
          ),
      },
      descriptor,
      signal,
    );
  }

  async has(descriptor: Descriptor, signal: AbortSignal): Promise<boolean> {
    const kind = isDocumentType(descriptor.mediaType) ? 'manifests' : 'blobs';
    const { response } = await this.#access.expect(
      {
        method: 'HEAD',
        target: `${this.#access.path}/${kind}/${descriptor.digest}`,
        headers: kind === 'manifests' ? { accept: acceptHeader } : {},
        scopes: this.#access.pushScopes(),
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
    if (isDocumentType(descriptor.mediaType)) {
      const bytes = await collectManifest(open, descriptor);
      await this.#putManifest(descriptor.digest, descriptor, bytes, options.signal);
      return 'written';
    }
    if (!this.#absent.delete(descriptor.digest) && (await this.has(descriptor, options.signal))) return 'exists';
    const mountFrom = [...new Set(options.knownIn ?? [])].flatMap((name) => this.#access.siblingPath(name) ?? []);
    return uploadBlob(this.#uploadPort(descriptor), descriptor, open, mountFrom, options);
  }

  async tag(descriptor: Descriptor, reference: string, signal: AbortSignal): Promise<void> {
    const name = this.#access.checkedName(reference);
    // A tag that is right stays untouched: registries with immutable tags refuse even the same again.
    const known = this.#manifests.isAtHand(descriptor.digest);
    if (!known && (await this.#manifests.isTagged(name, descriptor.digest, signal))) return;
    const bytes = await this.#manifests.bytesOf(descriptor, signal);
    await this.#putManifest(name, descriptor, bytes, signal);
  }

  tags(signal: AbortSignal): AsyncIterable<string> {
    const { path } = this.#access;
    const request = { scopes: pullScopes(path), readWhole: maxPageBytes, signal };
    return pages(
      `${path}/tags/list?n=1000`,
      (target) => this.#access.expect({ ...request, method: 'GET', target }, [200]),
      (document) => stringsOf(document.tags),
    );
  }

  async delete(reference: string, signal: AbortSignal): Promise<void> {
    const name = this.#access.checkedName(reference);
    try {
      await this.#delete(`manifests/${name}`, signal);
    } catch (error) {
      // Registries that delete by digest only answer a tag with 400 or 405; a missing tag is a 404.
      const refused = isRegistryError(error) && [400, 405].includes(error.status ?? 0) && !isDigest(name);
      if (!refused) throw error;
      throw new RegistryError({
        code: 'registry-unsupported',
        message: `${this.name} does not delete a single tag (${error.message})`,
        hint: `Delete the image by its digest, which takes off all its tags: tsbuild delete ${this.#access.fullName}@sha256:…`,
        cause: error,
      });
    }
    if (isDigest(name)) this.#manifests.forget(name);
  }

  deleteBlob(digest: Digest, signal: AbortSignal): Promise<void> {
    return this.#delete(`blobs/${digest}`, signal);
  }

  referrers(digest: Digest, options: ReferrersOptions): Promise<readonly Descriptor[]> {
    return this.#referrers.list(digest, options);
  }

  /** A typing mistake is the likely cause: the hint says which tags there are. */
  async #missingTag(tag: string, error: RegistryError, signal: AbortSignal): Promise<RegistryError> {
    const name = this.#access.fullName;
    const found: string[] = [];
    try {
      for await (const other of this.tags(signal)) if (found.push(other) === mostTagsCompared) break;
    } catch (cause) {
      if (isNotFound(cause)) found.length = 0;
      else if (isRegistryError(cause)) return error;
      else throw cause;
    }
    const near = nearest(tag, found);
    const listed = found.length <= mostTagsNamed ? found.join(', ') : `${found.length} tags; see tsbuild ls ${name}`;
    return error.retold({
      hint:
        found.length === 0
          ? `There is no repository ${name}, or you may not see it, or it has no tags.`
          : `${near === undefined ? '' : `Did you mean ${name}:${near}? `}${name} has ${listed}.`,
    });
  }

  async #putManifest(name: string, descriptor: Descriptor, bytes: Buffer, signal: AbortSignal): Promise<void> {
    const { response } = await this.#manifests.put(name, descriptor, bytes, signal);
    // Without this header the registry took no notice of a subject (distribution spec, "Pushing Manifests with Subject").
    if (!response.headers.has('oci-subject')) await this.#referrers.keep(descriptor, bytes, signal);
  }

  async #delete(what: string, signal: AbortSignal): Promise<void> {
    const { path } = this.#access;
    const scopes = [repositoryScope(path, 'pull,push,delete')];
    const { response } = await this.#access.expect(
      { method: 'DELETE', target: `${path}/${what}`, scopes, signal },
      [202, 200, 204],
    );
    await drain(response);
  }

  #uploadPort(descriptor: Descriptor): UploadPort {
    const own = this.#access.pushScopes();
    return {
      retry: this.#parts.retry,
      chunkSize: this.#parts.chunkSize,
      uploadsPath: `${this.#access.path}/blobs/uploads/`,
      expect: (request, statuses) => this.#access.expect(request, statuses),
      scopes: (from) => (from === undefined ? own : mergeScopes(own, pullScopes(from))),
      exists: (signal) => this.has(descriptor, signal),
    };
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

function stringsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
