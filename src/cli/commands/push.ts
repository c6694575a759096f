/** `tsbuild push`: an image of the store to its registry, its layers compressed on the way. */

import { type EventSink, hostPlatform, TsbuildError } from '../../core/index.ts';
import {
  type Descriptor,
  familiarReference,
  formatReference,
  isIndexType,
  parseManifest,
  parsePlatform,
  parseReference,
  type Reference,
  readManifest,
  selectPlatform,
} from '../../image/index.ts';
import type { LocalStore } from '../../layers/index.ts';
import { oneOf, type ParsedFlags } from '../args/flag.ts';
import { progressFlag, progressOf } from '../args/progress-flag.ts';
import type { Command } from '../command.ts';
import type { Session } from '../session.ts';
import { completeManifests } from '../stored-image.ts';
import { withWiring } from '../wire.ts';
import { withProgress } from '../with-progress.ts';
import { namingImage, withoutDamage } from '../without-damage.ts';

export const push: Command = {
  usage: 'push [OPTIONS] NAME',
  about:
    'Pushes an image of the local store to the registry its name says. What the registry has is not sent again, so a push ' +
    'that broke off is finished by running it again.',
  flags: [
    { name: 'all-tags', short: 'a', help: 'push all tags of the repository' },
    { name: 'platform', value: 'OS/ARCH', help: 'push only the image for this platform' },
    { name: 'compression', value: 'KIND', help: 'gzip (default), zstd or uncompressed' },
    { name: 'quiet', short: 'q', help: 'print the digest only' },
    progressFlag,
  ],
  words: { least: 1, most: 1 },
  async run(flags, session) {
    const [name = ''] = flags.positionals;
    const pushed = await withProgress(session, progressOf(flags, session.env), 'Pushing', (events) =>
      pushNames(name, flags, session, events),
    );
    for (const { reference, target } of pushed) {
      session.stdout.write(
        flags.on('quiet') ? `${target.digest}\n` : `${formatReference(reference)}@${target.digest}\n`,
      );
    }
    return 0;
  },
};

async function pushNames(wanted: string, flags: ParsedFlags, session: Session, events: EventSink) {
  const { signal } = session;
  const compression = oneOf('--compression', flags.text('compression') ?? 'gzip', ['gzip', 'zstd', 'uncompressed']);
  return await withWiring(session, events, async (wiring) => {
    const [store, baseImages, { publishImage }] = await Promise.all([
      wiring.store(),
      wiring.baseImages(),
      import('../../builder/index.ts'),
    ]);
    const delivery = await wiring.delivery(baseImages, hostPlatform());
    const pushed: { reference: Reference; target: Descriptor }[] = [];
    for (const reference of flags.on('all-tags') ? await tagsOf(store, wanted) : [parseReference(wanted)]) {
      const name = formatReference(reference);
      const pushOne = async (): Promise<Descriptor> => {
        const image = await store.useImage(name, signal);
        const chosen = await whatIsHere(store, image.target, flags.text('platform'), signal, events);
        const target = await publishImage(store, chosen, {
          compression,
          ensure: async (descriptor, inner) => {
            if (store.hasBlob(descriptor.digest)) return;
            await baseImages.fetch({ diffId: descriptor.digest, blob: descriptor }, inner);
          },
          signal,
        });
        await delivery.push(target, name, { byDigest: false, signal });
        return target;
      };
      const attempt = { events, signal, repeatable: true };
      const target = await namingImage(familiarReference(reference), () => withoutDamage(store, attempt, pushOne));
      pushed.push({ reference, target });
    }
    return pushed;
  });
}

async function tagsOf(store: LocalStore, name: string): Promise<Reference[]> {
  const wanted = parseReference(name);
  const references = (await store.images()).flatMap((image) =>
    image.name === undefined ? [] : [parseReference(image.name)],
  );
  return references.filter(
    (reference) => reference.registry === wanted.registry && reference.repository === wanted.repository,
  );
}

/** Of an index that was fetched for some platforms only, the one image that is here; an index that is whole, as it is. */
async function whatIsHere(
  store: LocalStore,
  target: Descriptor,
  wanted: string | undefined,
  signal: AbortSignal,
  events: EventSink,
): Promise<Descriptor> {
  if (!isIndexType(target.mediaType)) return target;
  const document = parseManifest(await readManifest(store, target, signal), target.mediaType);
  if (document.kind !== 'index') return target;
  const host = hostPlatform();
  if (wanted !== undefined) return selectPlatform(document, parsePlatform(wanted, host), 'the image');
  const complete = await completeManifests(store, document, signal);
  if (complete.length === document.manifests.length) return target;
  const [only] = complete;
  if (only === undefined) {
    throw new TsbuildError({
      code: 'image-unknown',
      message: 'the local store has only the index of this image',
      hint: 'Pull it again with --all-platforms.',
    });
  }
  events({
    kind: 'notice',
    level: 'warning',
    message: `only ${complete.length} of ${document.manifests.length} platforms are here: pushing one image instead of the index`,
  });
  return complete.length === 1 ? only : selectPlatform({ ...document, manifests: complete }, host, 'the image');
}
