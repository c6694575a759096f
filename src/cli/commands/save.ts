/** `tsbuild save`: images of the store as an archive or a layout. */

import { type EventSink, hostPlatform, TsbuildError } from '../../core/index.ts';
import {
  type Descriptor,
  formatPlatform,
  isIndexType,
  type Platform,
  parsePlatform,
  platformMatch,
} from '../../image/index.ts';
import type { LayerRef, LocalStore, SavedImage } from '../../layers/index.ts';
import { oneOf } from '../args/flag.ts';
import type { Command } from '../command.ts';
import { writeOutput } from '../output-file.ts';
import { fetchMissing, viewImage } from '../stored-image.ts';
import { withWiring } from '../wire.ts';
import { namingImage, withoutDamage } from '../without-damage.ts';

export const save: Command = {
  usage: 'save [OPTIONS] IMAGE...',
  about:
    'Writes images to an archive that docker load, podman load and skopeo read. A docker archive holds one platform of an ' +
    'image; an OCI archive or directory holds them all.',
  flags: [
    { name: 'output', short: 'o', value: 'FILE', help: 'file to write; without it, standard output' },
    { name: 'format', value: 'FORMAT', help: 'docker-archive (default), oci-archive or oci-dir' },
    { name: 'platform', value: 'OS/ARCH', help: 'which image of an index' },
  ],
  examples: [['tsbuild save app:1 | docker load', 'hand an image to Docker']],
  words: { least: 1, most: Number.POSITIVE_INFINITY },
  async run(flags, session) {
    const format = oneOf('--format', flags.text('format') ?? 'docker-archive', [
      'docker-archive',
      'oci-archive',
      'oci-dir',
    ]);
    const host = hostPlatform();
    const wanted = flags.text('platform');
    const platform = wanted === undefined ? host : parsePlatform(wanted, host);
    const destination = flags.text('output') ?? '-';
    if (destination === '-' && (session.stdout.isTTY || format === 'oci-dir')) {
      throw new TsbuildError({
        code: 'usage',
        message: format === 'oci-dir' ? 'a directory needs a name' : 'an archive will not be written to a terminal',
        hint: 'Add -o FILE, or redirect standard output.',
      });
    }
    const { signal } = session;
    const warn: EventSink = (event) => {
      if (event.kind === 'notice') session.stderr.write(`${event.level}: ${event.message}\n`);
    };
    await withWiring(session, warn, async (wiring) => {
      const [store, baseImages, layers] = await Promise.all([
        wiring.store(),
        wiring.baseImages(),
        import('../../layers/index.ts'),
      ]);
      const ensure = (layer: LayerRef, inner: AbortSignal) => baseImages.fetch(layer, inner);
      const attempt = { events: warn, signal, repeatable: destination !== '-' };
      await withoutDamage(store, attempt, async () => {
        const images: SavedImage[] = [];
        for (const word of flags.positionals) {
          const image = await savedImage(store, word, signal);
          const target =
            format === 'docker-archive' && isIndexType(image.target.mediaType)
              ? (await viewImage(store, image.target, platform, signal, { exactly: wanted !== undefined })).descriptor
              : image.target;
          if (wanted !== undefined) await requirePlatform(store, word, target, platform, signal);
          await namingImage(word, () => fetchMissing(store, target, ensure, signal));
          const saved = images.findIndex((other) => other.target.digest === target.digest);
          const names = new Set([...(images[saved]?.names ?? []), ...image.names]);
          images.splice(saved < 0 ? images.length : saved, 1, { target, names: [...names] });
        }
        if (format === 'oci-dir') return await layers.writeOciLayout(store, images, destination, signal);
        await writeOutput(destination, session, (out) =>
          format === 'oci-archive'
            ? layers.writeOciArchive(store, images, out, signal)
            : layers.writeDockerArchive(store, images, out, signal, { platform }),
        );
      });
    });
    return 0;
  },
};

/** Asked for by name an image carries that name; asked for by ID, none, as with docker save. */
async function savedImage(store: LocalStore, word: string, signal: AbortSignal): Promise<SavedImage> {
  const image = await store.useImage(word, signal);
  const byId = /^(sha256:)?[0-9a-f]{6,64}$/.test(word) || word.includes('@');
  return { target: image.target, names: image.name === undefined || byId ? [] : [image.name] };
}

/** An image that is no index is for the one platform its configuration names. */
async function requirePlatform(
  store: LocalStore,
  word: string,
  target: Descriptor,
  platform: Platform,
  signal: AbortSignal,
): Promise<void> {
  if (isIndexType(target.mediaType)) return;
  const { config } = await viewImage(store, target, platform, signal);
  if (platformMatch(platform, config) > 0) return;
  throw new TsbuildError({
    code: 'platform-not-found',
    message: `${word} is for ${formatPlatform(config)}, not for ${formatPlatform(platform)}`,
    hint: 'Leave out --platform, or pull or build the image for that platform.',
  });
}
