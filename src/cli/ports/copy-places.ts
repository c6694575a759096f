/** The places an image can be copied from and to, each as the source or the sink of one graph copy. */
import {
  type BlobSink,
  type BlobSource,
  type Descriptor,
  type Digest,
  formatReference,
  parseManifest,
  parseReference,
  type Reference,
  readManifest,
  referrersTag,
} from '../../image/index.ts';
import type { ImageArchive, SavedImage } from '../../layers/index.ts';
import { writeOutput } from '../output-file.ts';
import type { Session } from '../session.ts';
import type { Wiring } from '../wire.ts';
import type { ImageAddress } from './image-address.ts';

const refNameAnnotation = 'org.opencontainers.image.ref.name';

export interface CopySource {
  readonly source: BlobSource;
  /** For `resolve`. */
  readonly name: string;
  /** `registry/repository`, for mounts. */
  readonly knownIn?: string;
  /** Signatures, attestations and the like; undefined where a place does not keep them. */
  readonly referrers?: (subject: Descriptor, signal: AbortSignal) => Promise<readonly Descriptor[]>;
  /** What a tag made of a digest (`attachmentTags`) stands for; there where `referrers` is. */
  readonly attachment?: (tag: string, signal: AbortSignal) => Promise<Descriptor | undefined>;
}

export interface CopySink {
  readonly sink: BlobSink;
  /** Gives the copy its name: the last that is done. */
  readonly name: (target: Descriptor, session: Session) => Promise<void>;
  /** Makes a copied referrer findable; undefined where a place does not keep them. */
  readonly keepReferrer?: (referrer: Descriptor, session: Session) => Promise<void>;
  /** Gives a copied attachment its tag beside the image; there where `keepReferrer` is. */
  readonly keepAttachment?: (attachment: Descriptor, tag: string, session: Session) => Promise<void>;
}

export async function openCopySource(wiring: Wiring, address: ImageAddress, signal: AbortSignal): Promise<CopySource> {
  if (address.kind === 'registry') {
    const repository = await wiring.repository(address.reference);
    return {
      source: repository,
      name: address.reference.digest ?? address.reference.tag ?? 'latest',
      knownIn: `${repository.registry}/${repository.repository}`,
      referrers: (subject, inner) => repository.referrers(subject.digest, { signal: inner }),
      attachment: (tag, inner) => repository.find(tag, inner),
    };
  }
  if (address.kind === 'store') {
    const store = await wiring.store();
    return {
      source: store,
      name: address.name,
      referrers: async ({ digest }, inner) =>
        (await import('./stored-referrers.ts')).storedReferrers(store, digest, inner),
      attachment: async (tag) => (await store.images()).find(({ name }) => name?.endsWith(`:${tag}`))?.target,
    };
  }
  const archive = await wiring.openAddress(address, signal);
  return {
    source: archive,
    name: address.kind === 'engine' ? '' : (address.name ?? ''),
    ...((address.kind === 'oci-layout' || address.kind === 'oci-archive') && {
      referrers: (subject, inner) => listedReferrers(archive, subject, inner),
      attachment: async (tag) =>
        (archive.tagged(tag)[0] ?? archive.images.find(({ names }) => names.some((name) => name.endsWith(`:${tag}`))))
          ?.target,
    }),
  };
}

export async function openCopySink(wiring: Wiring, address: ImageAddress): Promise<CopySink> {
  switch (address.kind) {
    case 'registry': {
      const repository = await wiring.repository(address.reference);
      const { tag } = address.reference;
      return {
        sink: repository,
        name: async (target, { signal }) => {
          if (tag !== undefined) await repository.tag(target, tag, signal);
        },
        // A registry finds them by their subject.
        keepReferrer: async () => {},
        keepAttachment: (attachment, itsTag, { signal }) => repository.tag(attachment, itsTag, signal),
      };
    }
    case 'store': {
      const store = await wiring.store();
      const reference = parseReference(address.name);
      return {
        sink: store,
        name: (target) => store.tagImage(target, reference),
        keepReferrer: async (referrer, { signal }) =>
          (await import('./stored-referrers.ts')).keepStoredReferrer(store, referrer, reference, signal),
        keepAttachment: (attachment, tag) => store.tagImage(attachment, beside(reference, tag)),
      };
    }
    case 'oci-layout': {
      const { openOciLayoutSink } = await import('../../layers/index.ts');
      const sink = await openOciLayoutSink(address.path);
      const name = address.name ?? 'latest';
      return {
        sink,
        name: (target, { signal }) => sink.tag(target, name, signal),
        keepReferrer: (referrer, { signal }) => sink.tag(referrer, '', signal),
        keepAttachment: (attachment, tag, { signal }) => sink.tag(attachment, tag, signal),
      };
    }
    case 'oci-archive':
    case 'docker-archive': {
      // An archive is written in one go: the store holds the image until then.
      const [store, layers] = await Promise.all([wiring.store(), import('../../layers/index.ts')]);
      const isOci = address.kind === 'oci-archive';
      const write = isOci ? layers.writeOciArchive : layers.writeDockerArchive;
      const names = address.name === undefined ? [] : [formatReference(parseReference(address.name))];
      const referrers: SavedImage[] = [];
      return {
        sink: store,
        name: (target, session) =>
          writeOutput(address.path, session, (out) =>
            write(store, [{ target, names }, ...referrers], out, session.signal),
          ),
        ...(isOci && {
          keepReferrer: async (referrer) => {
            referrers.push({ target: referrer, names: [] });
          },
          keepAttachment: async (attachment, tag) => {
            referrers.push(
              address.name === undefined
                ? { target: { ...attachment, annotations: { [refNameAnnotation]: tag } }, names: [] }
                : { target: attachment, names: [formatReference(beside(parseReference(address.name), tag))] },
            );
          },
        }),
      };
    }
    case 'engine': {
      const [store, engine, { writeDockerArchive }] = await Promise.all([
        wiring.store(),
        wiring.engine(),
        import('../../layers/index.ts'),
      ]);
      const names = [formatReference(parseReference(address.name))];
      return {
        sink: store,
        name: (target, { signal }) =>
          engine.loadImage((out, inner) => writeDockerArchive(store, [{ target, names }], out, inner), signal),
      };
    }
  }
}

function beside({ registry, repository }: Reference, tag: string): Reference {
  return { registry, repository, tag };
}

/**
 * What a layout lists beside the image and says that it refers to it, and what is on the list that other tools keep there
 * as in a registry without the API (distribution spec, "Referrers Tag Schema").
 */
async function listedReferrers(
  archive: ImageArchive,
  subject: Descriptor,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  const found = new Map<Digest, Descriptor>();
  for (const { target } of archive.images) {
    const document = parseManifest(await readManifest(archive, target, signal), target.mediaType);
    if (document.subject?.digest === subject.digest) found.set(target.digest, target);
  }
  for (const { target } of archive.tagged(referrersTag(subject.digest))) {
    const list = parseManifest(await readManifest(archive, target, signal), target.mediaType);
    if (list.kind === 'index') for (const item of list.manifests) found.set(item.digest, item);
  }
  return [...found.values()];
}
