/**
 * The local store as what `tsbuild registry serve` serves. A repository is called what people call the image: an image
 * named `docker.io/library/app:1` is `app`, `ghcr.io/me/app:1` is `ghcr.io/me/app`; a name whose host has a port has no
 * place in a path and is not served.
 */
import { createReadStream, statSync } from 'node:fs';
import { isTsbuildError } from '../../core/index.ts';
import { type Digest, familiarReference, parseReference, type Reference } from '../../image/index.ts';
import type { LocalStore, StoredImage } from '../../layers/index.ts';
import type { ServedRecord, ServedStorage } from '../../registry/index.ts';

/** @param everyName also images of hosts with a port, for whoever needs no path */
export function servedStore(store: LocalStore, everyName = false): ServedStorage {
  /** Sizes of what was put here: the file of a blob gets its final name a little later. */
  const written = new Map<Digest, number>();
  const recordsOf = (images: readonly StoredImage[]) => images.flatMap((image) => recordOf(image, everyName) ?? []);
  const sizeOf = async (digest: Digest): Promise<number | undefined> => {
    if (!store.hasBlob(digest)) return undefined;
    return statSync(store.blobPath(digest), { throwIfNoEntry: false })?.size ?? written.get(digest);
  };
  return {
    canonical: canonicalRepository,
    content: {
      open: (descriptor, signal) => store.open(descriptor, signal),
      async put(descriptor, open, options) {
        const outcome = await store.put(descriptor, open, options);
        written.set(descriptor.digest, descriptor.size);
        return outcome;
      },
    },
    sizeOf,
    async openRange(digest, first, last) {
      // Opening waits for a file that is about to get its name; it reads nothing before it is iterated.
      const size = (await sizeOf(digest)) ?? 0;
      await store.open({ mediaType: 'application/octet-stream', digest, size }, new AbortController().signal);
      return createReadStream(store.blobPath(digest), { start: first, end: last, highWaterMark: 512 * 1024 });
    },
    async removeContent(digest, signal) {
      const outcome = await store.removeBlob(digest, signal);
      if (outcome === 'removed') written.delete(digest);
      return outcome;
    },
    records: async () => recordsOf(await store.images()),
    async record({ repository, tag, target }) {
      await store.tagImage(target, referenceTo(repository, tag === undefined ? { digest: target.digest } : { tag }));
    },
    async forget(repository, what) {
      const doomed = recordsOf(await store.images()).filter(
        (record) =>
          record.repository === repository &&
          ('tag' in what ? record.tag === what.tag : record.target.digest === what.digest),
      );
      for (const { tag, target } of doomed) {
        await store.untagImage(referenceTo(repository, tag === undefined ? { digest: target.digest } : { tag }));
      }
    },
  };
}

function recordOf({ name, target }: StoredImage, everyName: boolean): ServedRecord | undefined {
  if (name === undefined) return undefined;
  const { registry, repository, tag } = parseReference(name);
  if (!everyName && (registry.includes(':') || registry !== registry.toLowerCase())) return undefined;
  return { repository: familiarReference({ registry, repository }), tag, target };
}

function canonicalRepository(repository: string): string {
  try {
    const { registry, repository: path } = parseReference(repository);
    return familiarReference({ registry, repository: path });
  } catch (error) {
    // 64 hexadecimal digits are a repository to the protocol but no name of an image.
    if (isTsbuildError(error) && error.code === 'reference-invalid') return repository;
    throw error;
  }
}

function referenceTo(repository: string, what: { readonly tag: string } | { readonly digest: Digest }): Reference {
  const { registry, repository: path } = parseReference(repository);
  return { registry, repository: path, ...what };
}
