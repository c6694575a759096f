/** The registry client of this user: credentials, proxies and settings as the environment and the configuration files have them. */
import type { EventSink } from '../../core/index.ts';
import { createRegistryClient, proxySettings, type RegistryClient } from '../../registry/index.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export async function openRegistry(env: Environment, events: EventSink): Promise<RegistryClient> {
  return createRegistryClient({
    proxy: proxySettings(env),
    onWarning: (host, text) => events({ kind: 'notice', level: 'warning', message: `${host}: ${text}` }),
  });
}
