/** `tsbuild catalog`: the repositories of a registry. */
import type { Command } from '../command.ts';
import { withRegistry } from '../remote-image.ts';

export const catalog: Command = {
  usage: 'catalog REGISTRY',
  about: 'Lists the repositories of a registry that lets itself be listed (Docker Hub and GHCR do not).',
  flags: [],
  words: { least: 1, most: 1 },
  async run(flags, session) {
    const [registry = ''] = flags.positionals;
    return await withRegistry(session, async (wiring) => {
      const { registryHost } = await import('../../registry/index.ts');
      const client = await wiring.registry();
      for await (const name of client.catalog(registryHost(registry), session.signal))
        session.stdout.write(`${name}\n`);
      return 0;
    });
  },
};
