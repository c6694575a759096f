/** `tsbuild manifest`: the exact bytes of a manifest or index in its registry. */
import { readManifest } from '../../image/index.ts';
import type { Command } from '../command.ts';
import { remoteImage, resolveImage, wantedPlatform, withRegistry } from '../remote-image.ts';

export const manifest: Command = {
  usage: 'manifest [OPTIONS] NAME',
  about: 'Prints the manifest or index of a name in its registry, byte for byte, so that its digest can be checked.',
  flags: [{ name: 'platform', value: 'OS/ARCH', help: 'the manifest of the image for a platform' }],
  words: { least: 1, most: 1 },
  async run(flags, session) {
    const [name = ''] = flags.positionals;
    const platform = wantedPlatform(flags);
    const bytes = await withRegistry(session, async (wiring) => {
      const image = await remoteImage(wiring, name);
      const target = await resolveImage(image, platform, session.signal, { alsoRead: true });
      return await readManifest(image.repository, target, session.signal);
    });
    session.stdout.write(bytes);
    if (session.stdout.isTTY) session.stdout.write('\n');
    return 0;
  },
};
