/** `tsbuild referrers`: what refers to an image: signatures, attestations, bills of materials. */
import type { Command } from '../command.ts';
import { printReferrers } from '../print-referrers.ts';
import { withRegistry } from '../remote-image.ts';

export const referrers: Command = {
  usage: 'referrers [OPTIONS] NAME',
  about: 'Lists the manifests that name an image as their subject: signatures, attestations, bills of materials.',
  flags: [
    { name: 'artifact-type', value: 'TYPE', help: 'only those of a type' },
    { name: 'platform', value: 'OS/ARCH', help: 'ask for the image of a platform' },
    { name: 'format', value: 'FORMAT', help: 'json, or a template such as {{.Digest}}' },
  ],
  words: { least: 1, most: 1 },
  async run(flags, session) {
    const [name = ''] = flags.positionals;
    return await withRegistry(session, async (wiring) => {
      await printReferrers(wiring, name, flags, session);
      return 0;
    });
  },
};
