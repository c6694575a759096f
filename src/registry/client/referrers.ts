/**
 * Referrers (distribution spec, "Listing Referrers"): the manifests whose `subject` is another one. Registries without
 * the API keep them in an index under a tag made of the digest; we read it, and write it when a registry does not.
 */
import { Limiter } from '../../core/index.ts';
import {
  type Descriptor,
  type Digest,
  digestOf,
  type ImageIndex,
  mediaTypes,
  parseDescriptor,
  parseManifest,
  referrerEntry,
  referrersTag,
  serializeManifest,
} from '../../image/index.ts';
import { isNotFound, isRegistryError } from '../errors.ts';
import type { Manifests } from './manifests.ts';
import { maxPageBytes, type PageLimits, pages } from './pages.ts';
import { pullScopes, type RepositoryAccess } from './repository-access.ts';

const limits: PageLimits = { pages: 100, entries: 10_000 };

export interface ReferrersOptions {
  readonly artifactType?: string;
  readonly signal: AbortSignal;
}

export class Referrers {
  readonly #access: RepositoryAccess;
  readonly #manifests: Manifests;
  /** The fallback index is read, extended and written back: one at a time, or entries get lost. */
  readonly #writing = new Limiter(1);

  constructor(access: RepositoryAccess, manifests: Manifests) {
    this.#access = access;
    this.#manifests = manifests;
  }

  async list(digest: Digest, { artifactType, signal }: ReferrersOptions): Promise<readonly Descriptor[]> {
    const { path } = this.#access;
    const query = artifactType === undefined ? '' : `?${new URLSearchParams({ artifactType })}`;
    const request = {
      headers: { accept: mediaTypes.ociIndex },
      scopes: pullScopes(path),
      readWhole: maxPageBytes,
      signal,
    };
    const ask = (target: string | URL) => this.#access.expect({ ...request, method: 'GET', target }, [200]);
    const found: Descriptor[] = [];
    let hasApi = false;
    const read = (document: Record<string, unknown>) => {
      hasApi = true;
      return descriptorsOf(document);
    };
    try {
      for await (const item of pages(`${path}/referrers/${digest}${query}`, ask, read, limits)) found.push(item);
    } catch (error) {
      if (hasApi || !lacksReferrers(error)) throw error;
      found.push(...(await this.#listed(digest, signal)));
    }
    // A registry may ignore the filter (distribution spec: OCI-Filters-Applied).
    return artifactType === undefined ? found : found.filter((item) => item.artifactType === artifactType);
  }

  /** Does for a registry without the API what it would do itself when a manifest with a subject is stored. */
  async keep(descriptor: Descriptor, bytes: Buffer, signal: AbortSignal): Promise<void> {
    const document = parseManifest(bytes, descriptor.mediaType);
    const { subject } = document;
    if (subject === undefined) return;
    await this.#writing.run(signal, async () => {
      const existing = await this.#listed(subject.digest, signal);
      if (existing.some((other) => other.digest === descriptor.digest)) return;
      const manifests = [...existing, referrerEntry(descriptor, document)];
      const list: ImageIndex = { kind: 'index', mediaType: mediaTypes.ociIndex, manifests };
      const content = serializeManifest(list);
      const listed = { mediaType: mediaTypes.ociIndex, digest: digestOf(content), size: content.byteLength };
      await this.#manifests.put(referrersTag(subject.digest), listed, content, signal);
    });
  }

  /** The fallback index as the registry itself has it now. */
  async #listed(digest: Digest, signal: AbortSignal): Promise<readonly Descriptor[]> {
    try {
      const { bytes, descriptor } = await this.#manifests.fetch(referrersTag(digest), signal, false);
      const document = parseManifest(bytes, descriptor.mediaType);
      return document.kind === 'index' ? document.manifests : [];
    } catch (error) {
      if (isNotFound(error)) return [];
      throw error;
    }
  }
}

function descriptorsOf(document: Record<string, unknown>): readonly Descriptor[] {
  if (!Array.isArray(document.manifests)) return [];
  return document.manifests.map((item, i) => parseDescriptor(item, `manifests[${i}]`));
}

/** 404 from a registry without the API, 400 and 405 from some proxies in front of one. */
function lacksReferrers(error: unknown): boolean {
  return (
    isRegistryError(error) && (error.code === 'registry-protocol' || [400, 404, 405, 501].includes(error.status ?? 0))
  );
}
