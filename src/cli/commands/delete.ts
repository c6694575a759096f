/** `tsbuild delete`: takes an image off its registry. */
import { TsbuildError } from '../../core/index.ts';
import type { Command } from '../command.ts';
import { remoteImage, withRegistry } from '../remote-image.ts';

export const deleteCommand: Command = {
  usage: 'delete NAME...',
  about:
    'Deletes images from their registry. A name with a tag takes off the tag, where the registry can; a name with a digest ' +
    'takes off the manifest with all its tags.',
  flags: [],
  examples: [['tsbuild delete host/app@sha256:…', 'delete an image and all its tags']],
  words: { least: 1, most: Number.POSITIVE_INFINITY },
  async run(flags, session) {
    return await withRegistry(session, async (wiring) => {
      for (const word of flags.positionals) {
        const { reference, repository, name } = await remoteImage(wiring, word);
        if (reference.digest === undefined && !/:[^/]+$/.test(word)) {
          throw new TsbuildError({
            code: 'usage',
            message: `${word} names neither a tag nor a digest`,
            hint: `Write ${word}:latest if that is what you mean.`,
          });
        }
        await repository.delete(name, session.signal);
        session.stdout.write(`Deleted: ${word}\n`);
      }
      return 0;
    });
  },
};
