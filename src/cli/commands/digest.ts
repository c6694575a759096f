/** `tsbuild digest`: what a tag points at, in one request. */
import type { Command } from '../command.ts';
import { remoteImage, resolveImage, wantedPlatform, withRegistry } from '../remote-image.ts';

export const digest: Command = {
  usage: 'digest [OPTIONS] NAME',
  about:
    'Prints the digest a name has in its registry: that of the index when there is one, unless --platform asks for more.',
  flags: [{ name: 'platform', value: 'OS/ARCH', help: 'the digest of the image for a platform' }],
  words: { least: 1, most: 1 },
  async run(flags, session) {
    const [name = ''] = flags.positionals;
    const platform = wantedPlatform(flags);
    const found = await withRegistry(session, async (wiring) =>
      resolveImage(await remoteImage(wiring, name), platform, session.signal),
    );
    session.stdout.write(`${found.digest}\n`);
    return 0;
  },
};
