/** `tsbuild images`: what the store holds, in docker's columns. */

import { hostPlatform, isTsbuildError } from '../../core/index.ts';
import {
  familiarReference,
  isAttachmentTag,
  isReferrersTag,
  parseReference,
  type Reference,
} from '../../image/index.ts';
import type { LocalStore, StoredImage } from '../../layers/index.ts';
import type { Command } from '../command.ts';
import { type Column, renderRecords } from '../print-records.ts';
import type { Session } from '../session.ts';
import { viewImage } from '../stored-image.ts';
import { formatBytes, formatCreated } from '../style.ts';
import { withWiring } from '../wire.ts';

/** The members are the names templates use, as docker has them. */
export interface ImageRow {
  readonly Repository: string;
  readonly Tag: string;
  readonly ID: string;
  readonly Digest: string;
  readonly CreatedSince: string;
  readonly CreatedAt: string;
  readonly Size: string;
}

const columns: readonly Column<ImageRow>[] = [
  { title: 'REPOSITORY', value: (row) => row.Repository },
  { title: 'TAG', value: (row) => row.Tag },
  { title: 'IMAGE ID', value: (row) => row.ID },
  { title: 'CREATED', value: (row) => row.CreatedSince },
  { title: 'SIZE', value: (row) => row.Size },
];

export const images: Command = {
  usage: 'images [OPTIONS] [NAME]',
  about: 'Lists the images of the local store, newest first. With a name, only those of that repository.',
  flags: [
    { name: 'quiet', short: 'q', help: 'print IDs only' },
    { name: 'no-trunc', help: 'do not shorten IDs' },
    { name: 'digests', help: 'show digests as well' },
    { name: 'all', short: 'a', help: 'list images kept by their digest beside tagged ones, too' },
    { name: 'format', value: 'FORMAT', help: 'json, or a template such as {{.Repository}}:{{.Tag}}' },
  ],
  words: { least: 0, most: 1 },
  async run(flags, session) {
    const [wanted] = flags.positionals;
    const rows = await withWiring(
      session,
      () => {},
      async (wiring) => {
        const store = await wiring.store();
        const listed = (await store.images()).filter((image) => wanted === undefined || isNamed(image, wanted));
        const sorted = listed.toSorted((a, b) => b.tagged - a.tagged);
        const shown = flags.on('all') ? sorted : withoutParts(sorted);
        return await Promise.all(shown.map((image) => rowOf(store, image, flags.on('no-trunc'), session)));
      },
    );
    if (flags.on('quiet')) session.stdout.write([...new Set(rows.map((row) => `${row.ID}\n`))].join(''));
    else {
      const digest: Column<ImageRow> = { title: 'DIGEST', value: (row) => row.Digest };
      const shown = flags.on('digests') ? columns.toSpliced(2, 0, digest) : columns;
      session.stdout.write(renderRecords(rows, flags.text('format'), shown));
    }
    return 0;
  },
};

async function rowOf(store: LocalStore, image: StoredImage, full: boolean, session: Session): Promise<ImageRow> {
  const reference = image.name === undefined ? undefined : parseReference(image.name);
  let lacking = 'incomplete';
  const view = await viewImage(store, image.target, hostPlatform(), session.signal).catch((error: unknown) => {
    // A list must not fail because one image is damaged; its line says so.
    if (!isTsbuildError(error)) throw error;
    if (error.code === 'config-invalid' || error.code === 'manifest-unsupported') lacking = 'no image';
    return undefined;
  });
  const id = view?.manifest.config.digest ?? image.target.digest;
  const created = view?.config.created;
  return {
    Repository: reference === undefined ? '<none>' : repositoryOf(reference),
    Tag: reference?.tag ?? '<none>',
    ID: full ? id : id.slice(7, 19),
    Digest: image.target.digest,
    CreatedSince: formatCreated(created, session.now()),
    CreatedAt: created ?? '',
    Size: view === undefined ? lacking : formatBytes(view.size),
  };
}

function repositoryOf({ registry, repository }: Reference): string {
  return familiarReference({ registry, repository });
}

/**
 * Without what a registry client put beside the tagged images of a repository: the manifests of an index, by their digest,
 * and lists of referrers and cosign's signatures, under tags made of a digest.
 */
function withoutParts(images: readonly StoredImage[]): readonly StoredImage[] {
  const named = images.map((image) => ({
    image,
    reference: image.name === undefined ? undefined : parseReference(image.name),
  }));
  const tagged = new Set(
    named.flatMap(({ reference }) => (reference?.tag === undefined ? [] : repositoryOf(reference))),
  );
  return named.flatMap(({ image, reference }) => {
    if (reference === undefined) return image;
    const { tag } = reference;
    const isPart =
      tag === undefined ? tagged.has(repositoryOf(reference)) : isReferrersTag(tag) || isAttachmentTag(tag);
    return isPart ? [] : image;
  });
}

function isNamed(image: StoredImage, wanted: string): boolean {
  if (image.name === undefined) return false;
  const full = parseReference(wanted);
  const name = parseReference(image.name);
  const hasTag = wanted.lastIndexOf(':') > wanted.lastIndexOf('/');
  return name.registry === full.registry && name.repository === full.repository && (!hasTag || name.tag === full.tag);
}
