/** `tsbuild inspect`: everything about images, as docker inspect prints it. */

import { hostPlatform } from '../../core/index.ts';
import { type Digest, formatReference, parsePlatform } from '../../image/index.ts';
import type { LocalStore } from '../../layers/index.ts';
import type { Command } from '../command.ts';
import { describeImage, type InspectedImage } from '../inspected-image.ts';
import { type ImageView, viewImage } from '../stored-image.ts';
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
    ["tsbuild inspect -f '{{json .Provenance.SLSA}}' app:1", 'where it comes from; .SBOM.SPDX: what it holds'],
  ],
  words: { least: 1, most: Number.POSITIVE_INFINITY },
  async run(flags, session) {
    const host = hostPlatform();
    const format = flags.text('format');
    const describe = async (view: ImageView, names: readonly string[]) => {
      const document = describeImage(view, names);
      // They are fetched for who asks for them.
      if (!/\.(?:Provenance|SBOM)\b/.test(format ?? '')) return document;
      const { inspectAttestations } = await import('../inspected-attestations.ts');
      return { ...document, ...(await inspectAttestations(view, session.signal)) };
    };
    const wanted = flags.text('platform');
    const platform = wanted === undefined ? host : parsePlatform(wanted, host);
    const documents = await withWiring(
      session,
      () => {},
      async (wiring) => {
        const inStore = async (name: string) => {
          const store = await wiring.store();
          const { target } = await store.useImage(name.replace(/^store:\/\//, ''), session.signal);
          return describe(
            await viewImage(store, target, platform, session.signal, { exactly: wanted !== undefined }),
            await namesOf(store, target.digest),
          );
        };
        return await Promise.all(
          flags.positionals.map(async (name) => {
            if (!/^[a-z-]+:/.test(name)) return await inStore(name);
            const [{ explicitPlace, viewPlacedImage }, { withTransportHint }] = await Promise.all([
              import('../placed-image.ts'),
              import('../ports/image-address.ts'),
            ]);
            return await withTransportHint([name], async () => {
              const place = explicitPlace(name);
              if (place === undefined) return await inStore(name);
              const names = place.kind === 'registry' ? [formatReference(place.reference)] : [];
              return describe(await viewPlacedImage(wiring, place, platform, session.signal), names);
            });
          }),
        );
      },
    );
    if (format === undefined && session.stdout.isTTY) {
      const { summaryOf } = await import('../inspect-summary.ts');
      session.stdout.write(documents.map((document) => summaryOf(document, session.env)).join('\n'));
    } else if (format === undefined) session.stdout.write(`${JSON.stringify(documents, null, 4)}\n`);
    else if (format === 'json')
      session.stdout.write(documents.map((document) => `${JSON.stringify(document)}\n`).join(''));
    else {
      const { renderTemplate } = await import('../template.ts');
      session.stdout.write(
        documents.map((document) => `${renderTemplate(format, document, membersOf(document))}\n`).join(''),
      );
    }
    return 0;
  },
};

/** What an image may have besides, or has for docker: a template may ask for it. */
function membersOf(document: InspectedImage): ReadonlyMap<unknown, readonly string[]> {
  const members: [unknown, readonly string[]][] = [
    [document, ['Variant', 'Platforms', 'Parent', 'Comment', 'Metadata', 'Provenance', 'SBOM']],
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
