/** `tsbuild version`. Imports nothing: it is the measure of how fast a command starts. */
import type { Command } from '../command.ts';

/** Kept equal to package.json by a test. */
export const versionNumber = '0.1.0';

export const version: Command = {
  usage: 'version',
  about: 'Prints the version of tsbuild, of Node, and the platform.',
  flags: [{ name: 'quiet', short: 'q', help: 'the number only' }],
  words: { least: 0, most: 0 },
  async run(flags, session) {
    const platform = `${process.platform}/${process.arch}`;
    session.stdout.write(
      flags.on('quiet') ? `${versionNumber}\n` : `tsbuild ${versionNumber} (Node ${process.version}, ${platform})\n`,
    );
    return 0;
  },
};
