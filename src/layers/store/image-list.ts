/**
 * The images of a store: the entries of `index.json` (OCI image spec, image-layout.md), one per name.
 *
 * A name is kept whole, `docker.io/library/app:1`, in both annotations that tools look at:
 * `org.opencontainers.image.ref.name`, which skopeo (`oci:DIR:NAME`), umoci (`DIR:NAME`) and podman compare as a whole and
 * whose grammar allows hosts and slashes, and `io.containerd.image.name`. A short tag in ref.name, as containerd writes
 * it, would be ambiguous in a folder that holds many images.
 * Invariant: the file is replaced atomically under a kernel lock; what other tools wrote into it stays as it was.
 */
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { isTsbuildError, systemErrorCode, TsbuildError } from '../../core/index.ts';
import {
  type Descriptor,
  type Digest,
  formatReference,
  isDigest,
  mediaTypes,
  parseDescriptor,
  parseReference,
  type Reference,
} from '../../image/index.ts';
import type { StoredImage } from '../types.ts';
import { storeFailure } from './failures.ts';
import { acquireLock } from './kernel-lock.ts';
import type { Layout } from './layout.ts';
import { syncFile, syncFolder } from './pending-blobs.ts';
import type { Presence } from './presence.ts';

export const refNameAnnotation = 'org.opencontainers.image.ref.name';
export const containerdNameAnnotation = 'io.containerd.image.name';
/** Milliseconds since 1970, as text. */
const taggedAnnotation = 'io.tsbuild.image.tagged';
/** Digests between commas: see StoredImage. */
const absentAnnotation = 'io.tsbuild.image.absent';

export interface NewEntry {
  readonly target: Descriptor;
  /** '' lists the image without a name. */
  readonly name: string;
  readonly absent: readonly Digest[];
}

interface RawIndex {
  readonly [member: string]: unknown;
  readonly manifests: readonly unknown[];
}

interface Entry {
  /** Undefined for what another tool wrote and the spec does not allow: not shown, and left alone. */
  readonly image: StoredImage | undefined;
  /** As it stands in the file. */
  readonly raw: unknown;
}

export class ImageList {
  readonly #layout: Layout;
  readonly #presence: Presence;
  readonly #now: () => number;
  #cache: { readonly stamp: string; readonly images: readonly StoredImage[] } | undefined;

  constructor(layout: Layout, presence: Presence, now: () => number) {
    this.#layout = layout;
    this.#presence = presence;
    this.#now = now;
  }

  /** @throws TsbuildError `store-index-damaged` */
  images(): readonly StoredImage[] {
    const status = statSync(this.#layout.index, { throwIfNoEntry: false, bigint: true });
    const stamp = status === undefined ? '' : `${status.ino} ${status.mtimeNs} ${status.size}`;
    if (this.#cache?.stamp !== stamp)
      this.#cache = { stamp, images: this.#entries(this.#read()).flatMap((entry) => entry.image ?? []) };
    return this.#cache.images;
  }

  /**
   * Gives a name to a manifest, taking it from the one that had it. Layers that were absent when it got another name may
   * still be.
   */
  async add({ target, name, absent }: NewEntry, signal: AbortSignal): Promise<void> {
    // Nothing is written when nothing changes: a cached build ends here.
    const isListed = this.images().some(
      (image) =>
        (image.name ?? '') === name &&
        sameTarget(image.target, target) &&
        absent.every((digest) => image.absent?.includes(digest)),
    );
    if (isListed) return;
    await this.#update(signal, (entries) => {
      const { annotations, ...plain } = target;
      const before = entries.flatMap(({ image }) =>
        image?.target.digest === target.digest ? (image.absent ?? []) : [],
      );
      const allAbsent = [...new Set([...before, ...absent])].sort();
      const own = Object.entries(annotations ?? {}).filter(([key]) => !nameAnnotations.has(key));
      const added = {
        ...plain,
        annotations: {
          ...Object.fromEntries(own),
          ...(name !== '' && { [refNameAnnotation]: name, [containerdNameAnnotation]: name }),
          [taggedAnnotation]: String(this.#now()),
          ...(allAbsent.length > 0 && { [absentAnnotation]: allAbsent.join(',') }),
        },
      };
      const stays = (image: StoredImage | undefined) =>
        // A name makes the nameless entry of the same image superfluous.
        image === undefined || image.name === undefined ? image?.target.digest !== target.digest : image.name !== name;
      return [...entries.filter((entry) => stays(entry.image)).map((entry) => entry.raw), added];
    });
  }

  /** Takes out the entries for which `doomed` holds. Resolves to how many those were. */
  async remove(doomed: (image: StoredImage) => boolean, signal: AbortSignal): Promise<number> {
    if (!this.images().some(doomed)) return 0;
    let removed = 0;
    await this.#update(signal, (entries) => {
      const stay = entries.filter((entry) => entry.image === undefined || !doomed(entry.image));
      removed = entries.length - stay.length;
      return stay.map((entry) => entry.raw);
    });
    return removed;
  }

  #read(): RawIndex {
    let text: string;
    try {
      text = readFileSync(this.#layout.index, 'utf8');
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw storeFailure(error, `cannot read ${this.#layout.index}`);
      return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] };
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw damagedIndex(this.#layout.index, cause);
    }
    const raw = value as RawIndex | null;
    if (typeof raw !== 'object' || raw === null || !Array.isArray(raw.manifests)) {
      throw damagedIndex(this.#layout.index, undefined);
    }
    return raw;
  }

  #entries(index: RawIndex): Entry[] {
    return index.manifests.map((raw) => {
      try {
        return { image: imageOf(parseDescriptor(raw, 'an entry of index.json')), raw };
      } catch (error) {
        if (isTsbuildError(error) && error.code === 'manifest-invalid') return { image: undefined, raw };
        throw error;
      }
    });
  }

  async #update(signal: AbortSignal, change: (entries: readonly Entry[]) => readonly unknown[]): Promise<void> {
    using _lock = await acquireLock(`${this.#layout.locks}/index`, 'exclusive', signal);
    const index = this.#read();
    const text = JSON.stringify({ ...index, manifests: change(this.#entries(index)) });
    const draft = this.#presence.draft();
    try {
      writeFileSync(draft, text, { flag: 'wx', mode: 0o600 });
      // Against power loss: without it the new name may stand for an empty file, and every image would be gone.
      await syncFile(draft);
      renameSync(draft, this.#layout.index);
    } catch (error) {
      throw storeFailure(error, `cannot write ${this.#layout.index}`);
    }
    await syncFolder(this.#layout.root);
  }
}

const nameAnnotations = new Set([refNameAnnotation, containerdNameAnnotation, taggedAnnotation, absentAnnotation]);

/** The one spelling of a name in the store. A digest beats a tag, as in Docker. */
export function imageName(reference: Reference): string {
  if (reference.digest === undefined) return formatReference(reference);
  return formatReference({
    registry: reference.registry,
    repository: reference.repository,
    digest: reference.digest,
  });
}

/**
 * The full name an entry of an OCI index stands for; undefined when it has none that Docker would accept. ref.name
 * counts, for every tool that gives names gives that one; only where it is the bare tag of the other, as containerd
 * writes it, the other says more.
 */
export function annotatedName(annotations: Readonly<Record<string, string>> | undefined): string | undefined {
  const refName = annotations?.[refNameAnnotation];
  const containerdName = annotations?.[containerdNameAnnotation];
  const isTagOfOther = refName !== undefined && containerdName?.endsWith(`:${refName}`) === true;
  return (isTagOfOther ? undefined : fullName(refName)) ?? fullName(containerdName);
}

function fullName(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    return imageName(parseReference(text));
  } catch (error) {
    if (isTsbuildError(error) && error.code === 'reference-invalid') return undefined;
    throw error;
  }
}

function imageOf(descriptor: Descriptor): StoredImage {
  const { annotations, ...plain } = descriptor;
  const kept = Object.entries(annotations ?? {}).filter(([key]) => !nameAnnotations.has(key));
  const tagged = Number(annotations?.[taggedAnnotation] ?? Number.NaN);
  const absent = (annotations?.[absentAnnotation] ?? '').split(',').filter(isDigest);
  return {
    name: annotatedName(annotations),
    target: { ...plain, ...(kept.length > 0 && { annotations: Object.fromEntries(kept) }) },
    tagged: Number.isFinite(tagged) ? tagged : 0,
    ...(absent.length > 0 && { absent }),
  };
}

function sameTarget(a: Descriptor, b: Descriptor): boolean {
  return a.digest === b.digest && a.mediaType === b.mediaType && a.size === b.size;
}

function damagedIndex(path: string, cause: unknown): TsbuildError {
  return new TsbuildError({
    code: 'store-index-damaged',
    message: `${path} is not an OCI image index`,
    hint: 'Restore the file, or move it away: tsbuild then starts with an empty list; the blobs stay.',
    ...(cause !== undefined && { cause }),
  });
}
