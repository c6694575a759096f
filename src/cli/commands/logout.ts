/** `tsbuild logout`. */
import type { Command } from '../command.ts';

export const logout: Command = {
  usage: 'logout [REGISTRY]',
  about: 'Forgets the credentials of a registry (default: Docker Hub).',
  flags: [],
  words: { least: 0, most: 1 },
  async run(flags, session) {
    const [registry = 'docker.io'] = flags.positionals;
    const { logout: logOut, registryHost } = await import('../../registry/index.ts');
    const { homeOf } = await import('../ports/registry.ts');
    const removed = await logOut(registry, { env: session.env, home: homeOf(session.env) }, session.signal);
    const host = registryHost(registry);
    session.stdout.write(
      removed.length === 0
        ? `Not logged in to ${host}\n`
        : `Removing login credentials for ${host} from ${removed.join(', ')}\n`,
    );
    return 0;
  },
};
