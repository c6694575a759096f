/** `tsbuild inspect`: everything about images, as docker inspect prints it. */

import { hostPlatform } from '../../core/index.ts';
import {
  type Digest,
  familiarReference,
  formatPlatform,
  formatReference,
  parsePlatform,
  parseReference,
  repositoryName,
} from '../../image/index.ts';
import type { LocalStore } from '../../layers/index.ts';
import type { Command } from '../command.ts';
import { type ImageView, viewImage } from '../stored-image.ts';
import { formatBytes, printable, type Style, styleFor, wantsColour } from '../style.ts';
import { renderTemplate } from '../template.ts';
import { withWiring } from '../wire.ts';

export const inspect: Command = {
  usage: 'inspect [OPTIONS] IMAGE...',
  about:
    'Prints what an image is: ID, names, configuration, layers. A plain name is looked up in the local store; docker://NAME in ' +
    'its registry, oci:DIR[:TAG] and other places as in copy, without fetching layers. On a terminal as a summary; elsewhere, and ' +
    'with --format json, as JSON in the shape of docker inspect.',
  flags: [
    { name: 'format', short: 'f', value: 'FORMAT', help: 'json, or a template such as {{.Config.Entrypoint}}' },
    { name: 'platform', value: 'OS/ARCH', help: 'which image of an index' },
    { name: 'type', value: 'TYPE' },
  ],
  examples: [
    ['tsbuild inspect app:1', 'an image of the store'],
    ['tsbuild inspect docker://ghcr.io/me/app:1', 'one in its registry'],
  ],
  words: { least: 1, most: Number.POSITIVE_INFINITY },
  async run(flags, session) {
    const host = hostPlatform();
    const wanted = flags.text('platform');
    const platform = wanted === undefined ? host : parsePlatform(wanted, host);
    const documents = await withWiring(
      session,
      () => {},
      async (wiring) => {
        return await Promise.all(
          flags.positionals.map(async (name) => {
            if (/^[a-z-]+:/.test(name)) {
              const { explicitPlace, viewPlacedImage } = await import('../placed-image.ts');
              const place = explicitPlace(name);
              if (place !== undefined) {
                const names = place.kind === 'registry' ? [formatReference(place.reference)] : [];
                return describe(await viewPlacedImage(wiring, place, platform, session.signal), names);
              }
            }
            const store = await wiring.store();
            const { target } = await store.useImage(name.replace(/^store:\/\//, ''), session.signal);
            return describe(
              await viewImage(store, target, platform, session.signal, { exactly: wanted !== undefined }),
              await namesOf(store, target.digest),
            );
          }),
        );
      },
    );
    const format = flags.text('format');
    if (format === undefined && session.stdout.isTTY) {
      const style = styleFor(wantsColour(session.env, true));
      session.stdout.write(documents.map((document) => summaryOf(document, style)).join('\n'));
    } else if (format === undefined) session.stdout.write(`${JSON.stringify(documents, null, 4)}\n`);
    else if (format === 'json')
      session.stdout.write(documents.map((document) => `${JSON.stringify(document)}\n`).join(''));
    else
      session.stdout.write(
        documents.map((document) => `${renderTemplate(format, document, membersOf(document))}\n`).join(''),
      );
    return 0;
  },
};

/** What an image may have besides, or has for docker: a template may ask for it. */
function membersOf(document: ReturnType<typeof describe>): ReadonlyMap<unknown, readonly string[]> {
  const members: [unknown, readonly string[]][] = [
    [document, ['Variant', 'Platforms', 'Parent', 'Comment', 'Metadata']],
  ];
  if (document.Config) members.push([document.Config, configMembers]);
  return new Map(members);
}

/** OCI image spec, config.md, and what docker writes beside it. */
const configMembers = [
  ...[
    'User',
    'ExposedPorts',
    'Env',
    'Entrypoint',
    'Cmd',
    'Volumes',
    'WorkingDir',
    'Labels',
    'StopSignal',
    'Healthcheck',
  ],
  ...[
    'OnBuild',
    'Shell',
    'StopTimeout',
    'ArgsEscaped',
    'Hostname',
    'Domainname',
    'Image',
    'Tty',
    'OpenStdin',
    'StdinOnce',
  ],
  ...[
    'AttachStdin',
    'AttachStdout',
    'AttachStderr',
    'NetworkDisabled',
    'MacAddress',
    'Memory',
    'MemorySwap',
    'CpuShares',
  ],
];

async function namesOf(store: LocalStore, digest: Digest): Promise<string[]> {
  return (await store.images()).flatMap((image) =>
    image.target.digest === digest && image.name !== undefined ? [image.name] : [],
  );
}

function describe(view: ImageView, names: readonly string[]) {
  const { config, manifest, target, index } = view;
  const references = names.map((name) => parseReference(name));
  return {
    Id: manifest.config.digest,
    RepoTags: references.map(familiarReference),
    RepoDigests: [
      ...new Set(references.map((reference) => `${familiarRepository(repositoryName(reference))}@${target.digest}`)),
    ],
    Created: config.created ?? '',
    Author: config.author ?? '',
    Architecture: config.architecture,
    ...(config.variant !== undefined && { Variant: config.variant }),
    Os: config.os,
    Size: view.size,
    Config: config.config,
    RootFS: { Type: 'layers', Layers: config.rootfs.diff_ids },
    Descriptor: target,
    ...(index && {
      Platforms: index.manifests.flatMap((item) => (item.platform ? [formatPlatform(item.platform)] : [])),
    }),
    Manifest: { Digest: view.descriptor.digest, MediaType: manifest.mediaType, Layers: manifest.layers },
  };
}

/** For people: a line for each thing that is set. */
function summaryOf(image: ReturnType<typeof describe>, style: Style): string {
  const { Config: config, Manifest: manifest } = image;
  const words = (list: readonly string[] | undefined | null) =>
    (list ?? []).map((word) => JSON.stringify(word)).join(' ');
  const keys = (map: object | undefined | null) => Object.keys(map ?? {});
  const pairs = (map: Readonly<Record<string, string>> | undefined | null) =>
    Object.entries(map ?? {}).map(([key, value]) => `${key}=${value}`);
  const rows: readonly (readonly [title: string, lines: readonly string[]])[] = [
    ['Name', image.RepoTags],
    ['ID', [image.Id]],
    ['Digest', [image.Descriptor.digest]],
    ['Platform', [[image.Os, image.Architecture, image.Variant].filter(Boolean).join('/')]],
    ['Platforms', image.Platforms ?? []],
    ['Created', [image.Created]],
    [
      'Size',
      [`${formatBytes(image.Size)} in ${manifest.Layers.length} ${manifest.Layers.length === 1 ? 'layer' : 'layers'}`],
    ],
    ['Entrypoint', [words(config?.Entrypoint)]],
    ['Command', [words(config?.Cmd)]],
    ['Directory', [config?.WorkingDir ?? '']],
    ['User', [config?.User ?? '']],
    ['Ports', keys(config?.ExposedPorts)],
    ['Volumes', keys(config?.Volumes)],
    ['Environment', config?.Env ?? []],
    ['Labels', pairs(config?.Labels)],
    ['Layers', manifest.Layers.map((layer) => `${layer.digest.slice(0, 19)}  ${formatBytes(layer.size)}`)],
  ];
  return rows
    .map(([title, lines]) => [title, lines.filter((line) => line !== '').map(printable)] as const)
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) => `${style.bold(title.padEnd(13))}${lines.join(`\n${' '.repeat(13)}`)}\n`)
    .join('');
}

function familiarRepository(name: string): string {
  return name.replace(/^docker\.io\/(?:library\/(?=[^/]+$))?/, '');
}
