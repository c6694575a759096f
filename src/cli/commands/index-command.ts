/** `tsbuild index`: joins images of several platforms under one name, in the registry. */

import { hostPlatform, TsbuildError } from '../../core/index.ts';
import {
  attestedDigest,
  copyGraph,
  type Descriptor,
  describe,
  formatPlatform,
  formatReference,
  type ImageIndex,
  mediaTypes,
  type Platform,
  parseImageConfig,
  parseManifest,
  parsePlatform,
  platformMatch,
  readBlob,
  readManifest,
  repositoryName,
  serializeManifest,
} from '../../image/index.ts';
import { splitAssignment } from '../args/csv.ts';
import { oneOf, type ParsedFlags } from '../args/flag.ts';
import type { Command } from '../command.ts';
import { renderTable } from '../print-records.ts';
import { type RemoteImage, remoteImage, withRegistry } from '../remote-image.ts';
import type { Session } from '../session.ts';
import type { Wiring } from '../wire.ts';

export const indexCommand: Command = {
  usage: 'index create|append|filter|inspect NAME [SOURCE...]',
  about:
    'Works on the index that joins the images of several platforms under one name, in the registry. create makes NAME of ' +
    'the sources; append adds sources to NAME; filter keeps only the platforms asked for; inspect shows what is in it. ' +
    'Sources from other repositories are copied.',
  flags: [
    { name: 'platform', value: 'OS/ARCH', many: true, help: 'filter: platforms to keep' },
    { name: 'tag', short: 't', value: 'NAME', help: 'filter, append: put the result under this name instead' },
    { name: 'annotation', value: 'KEY=VALUE', many: true, help: 'annotation of the index' },
    { name: 'format', value: 'FORMAT', help: 'inspect: json' },
  ],
  examples: [
    ['tsbuild index create host/app:1 host/app@sha256:… host/app@sha256:…', 'join what a CI matrix pushed by digest'],
    ['tsbuild index filter host/app:1 --platform linux/amd64 -t host/app:small', 'drop the other platforms'],
  ],
  words: { least: 2, most: Number.POSITIVE_INFINITY },
  async run(flags, session) {
    const [word = '', name = '', ...sources] = flags.positionals;
    const action = oneOf('index', word, ['create', 'append', 'filter', 'inspect']);
    if ((action === 'create' || action === 'append') === (sources.length === 0)) {
      throw new TsbuildError({
        code: 'usage',
        message: sources.length === 0 ? `index ${action} needs sources` : `index ${action} takes no sources`,
        hint: `Write tsbuild ${indexCommand.usage}`,
      });
    }
    return await withRegistry(session, async (wiring) => {
      if (action === 'inspect') return await inspect(wiring, name, flags, session);
      const target = await remoteImage(wiring, flags.text('tag') ?? name);
      const entries =
        action === 'create' ? [] : await entriesOf(await remoteImage(wiring, name), target, session.signal);
      for (const source of sources) {
        entries.push(...(await entriesOf(await remoteImage(wiring, source), target, session.signal)));
      }
      const kept = action === 'filter' ? onlyPlatforms(entries, flags) : entries;
      const written = await writeIndex(target, distinct(kept), flags, session.signal);
      session.stdout.write(`${formatReference(target.reference)}@${written.digest}\n`);
      return 0;
    });
  },
};

/** The images under a name with their platforms, present in the target's repository when this resolves. */
async function entriesOf(image: RemoteImage, target: RemoteImage, signal: AbortSignal): Promise<Descriptor[]> {
  const { repository } = image;
  const found = await repository.resolve(image.name, signal);
  const document = parseManifest(await readManifest(repository, found, signal), found.mediaType);
  let entries: readonly Descriptor[];
  if (document.kind === 'index') entries = document.manifests;
  else {
    const { os, architecture, variant } = parseImageConfig(await readBlob(repository, document.config, signal));
    const platform: Platform = { os, architecture, ...(variant !== undefined && { variant }) };
    entries = [{ mediaType: found.mediaType, digest: found.digest, size: found.size, platform }];
  }
  if (repositoryName(image.reference) !== repositoryName(target.reference)) {
    for (const entry of entries) {
      await copyGraph(repository, target.repository, entry, {
        signal,
        knownIn: () => [repositoryName(image.reference)],
      });
    }
  }
  return [...entries];
}

function onlyPlatforms(entries: readonly Descriptor[], flags: ParsedFlags): Descriptor[] {
  const wanted = flags
    .all('platform')
    .flatMap((text) => text.split(','))
    .map((text) => parsePlatform(text, hostPlatform()));
  if (wanted.length === 0)
    throw new TsbuildError({
      code: 'usage',
      message: 'index filter needs --platform',
      hint: 'Name the platforms to keep.',
    });
  const kept = entries.filter(({ platform }) => platform && wanted.some((one) => platformMatch(one, platform) === 100));
  // What is said of them stays; `distinct` drops what is said of the others.
  if (kept.length > 0) return [...kept, ...entries.filter((entry) => attestedDigest(entry) !== undefined)];
  throw new TsbuildError({
    code: 'platform-not-found',
    message: `the index has none of ${wanted.map(formatPlatform).join(', ')}`,
    hint: 'See tsbuild index inspect NAME.',
  });
}

/** One image for a platform: the last one given, as appending replaces. Behind them what is said of those that are left. */
function distinct(entries: readonly Descriptor[]): Descriptor[] {
  const images = new Map<string, Descriptor>();
  const others = new Map<string, Descriptor>();
  for (const entry of entries) {
    const isImage = entry.platform !== undefined && entry.platform.os !== 'unknown';
    if (isImage && entry.platform) images.set(formatPlatform(entry.platform), entry);
    else others.set(entry.digest, entry);
  }
  const left = new Set<string>([...images.values()].map(({ digest }) => digest));
  const isMeant = (entry: Descriptor): boolean => left.has(attestedDigest(entry) ?? '');
  return [
    ...images.values(),
    ...[...others.values()].filter((entry) => attestedDigest(entry) === undefined || isMeant(entry)),
  ];
}

async function writeIndex(
  { repository, name, reference }: RemoteImage,
  manifests: readonly Descriptor[],
  flags: ParsedFlags,
  signal: AbortSignal,
): Promise<Descriptor> {
  if (reference.digest !== undefined) {
    throw new TsbuildError({ code: 'usage', message: 'an index cannot be put under a digest', hint: 'Name a tag.' });
  }
  const annotations = Object.fromEntries(
    flags.all('annotation').map((text) => {
      const { name: key, value } = splitAssignment(text);
      return [key, value ?? ''] as const;
    }),
  );
  const index: ImageIndex = { kind: 'index', mediaType: mediaTypes.ociIndex, manifests, annotations };
  const bytes = serializeManifest(index);
  const descriptor = describe(mediaTypes.ociIndex, bytes);
  await repository.put(
    descriptor,
    async () =>
      (async function* () {
        yield bytes;
      })(),
    { signal },
  );
  await repository.tag(descriptor, name, signal);
  return descriptor;
}

async function inspect(wiring: Wiring, name: string, flags: ParsedFlags, session: Session): Promise<number> {
  const image = await remoteImage(wiring, name);
  const found = await image.repository.resolve(image.name, session.signal);
  const document = parseManifest(await readManifest(image.repository, found, session.signal), found.mediaType);
  if (document.kind !== 'index') {
    throw new TsbuildError({
      code: 'manifest-unsupported',
      message: `${name} is a single image, not an index`,
      hint: `See tsbuild manifest ${name}.`,
    });
  }
  if (flags.text('format') === 'json') {
    const { kind: _, ...rest } = document;
    session.stdout.write(`${JSON.stringify({ digest: found.digest, ...rest }, null, 2)}\n`);
    return 0;
  }
  session.stdout.write(`Name:    ${formatReference(image.reference)}\nDigest:  ${found.digest}\n\n`);
  session.stdout.write(
    renderTable(document.manifests, [
      { title: 'PLATFORM', value: (item) => (item.platform ? formatPlatform(item.platform) : '-') },
      { title: 'DIGEST', value: (item) => item.digest },
      { title: 'KIND', value: (item) => item.annotations?.['vnd.docker.reference.type'] ?? 'image' },
    ]),
  );
  return 0;
}
