/** `tsbuild tag`. */
import { TsbuildError } from '../../core/index.ts';
import { parseReference } from '../../image/index.ts';
import type { Command } from '../command.ts';
import { withWiring } from '../wire.ts';

export const tag: Command = {
  usage: 'tag IMAGE NAME',
  about: 'Gives an image of the local store one more name. IMAGE is a name, an ID or the beginning of an ID.',
  flags: [],
  words: { least: 2, most: 2 },
  async run(flags, session) {
    const [source = '', name = ''] = flags.positionals;
    const reference = parseReference(name);
    if (reference.digest !== undefined) {
      throw new TsbuildError({
        code: 'usage',
        message: `${name}: a digest cannot be chosen`,
        hint: 'Leave out the part from @ on.',
      });
    }
    await withWiring(
      session,
      () => {},
      async (wiring) => {
        const store = await wiring.store();
        await store.tagImage((await store.useImage(source, session.signal)).target, reference);
      },
    );
    return 0;
  },
};
