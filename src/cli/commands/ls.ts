/** `tsbuild ls`: the tags of a repository. */
import { TsbuildError } from '../../core/index.ts';
import type { Command } from '../command.ts';
import { remoteImage, withRegistry } from '../remote-image.ts';

export const ls: Command = {
  usage: 'ls [OPTIONS] REPOSITORY',
  about: 'Lists the tags of a repository in its registry, one a line. Also known as tags.',
  flags: [{ name: 'format', value: 'FORMAT', help: 'json: one array' }],
  examples: [['tsbuild ls ghcr.io/me/app', 'all tags of an image']],
  words: { least: 1, most: 1 },
  async run(flags, session) {
    const [name = ''] = flags.positionals;
    const { stdout, signal } = session;
    refuseHost(name);
    return await withRegistry(session, async (wiring) => {
      const { repository } = await remoteImage(wiring, name);
      const all: string[] = [];
      for await (const tag of repository.tags(signal)) {
        if (flags.text('format') === 'json') all.push(tag);
        else stdout.write(`${tag}\n`);
      }
      if (flags.text('format') === 'json') stdout.write(`${JSON.stringify(all)}\n`);
      return 0;
    });
  },
};

/** By Docker's rules `localhost:5000` alone is an image of Docker Hub: nobody who writes an address means that. */
function refuseHost(name: string): void {
  if (!/^(localhost|(\d{1,3}\.){3}\d{1,3}|\[[\da-f:]+\]|[\w.-]+\.[a-z]{2,})(:\d+)?\/?$/i.test(name)) return;
  throw new TsbuildError({
    code: 'usage',
    message: `${name} is a registry, not a repository`,
    hint: `List its repositories with tsbuild catalog ${name.replace(/\/$/, '')}, then the tags of one.`,
  });
}
