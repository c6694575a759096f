/**
 * The registry client of this user: credentials, proxies and settings as the environment and the configuration files have
 * them. The files are read when a registry is first spoken to.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { type EventSink, systemErrorCode, TsbuildError } from '../../core/index.ts';
import {
  createRegistryClient,
  parseRegistriesSection,
  proxySettings,
  type RegistryClient,
  type RegistryClientOptions,
  registrySettings,
  type SettingsFor,
  storedCredentials,
} from '../../registry/index.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export function openRegistry(env: Environment, events: EventSink): RegistryClient {
  return createRegistryClient({
    ...registryOptions(env, events),
    credentials: storedCredentials({
      env,
      home: homeOf(env),
      onMissingHelper: ({ message }) =>
        events({ kind: 'notice', level: 'warning', message: `${message}: going on without its credentials` }),
    }),
  });
}

/** How registries are reached, without credentials: what `login` needs. */
export function registryOptions(env: Environment, events: EventSink): RegistryClientOptions {
  return {
    settings: settings(env),
    proxy: proxySettings(env),
    onWarning: (host, text) => events({ kind: 'notice', level: 'warning', message: `${host}: ${text}` }),
  };
}

export function homeOf(env: Environment): string {
  return env.HOME || homedir();
}

/** tsbuild's configuration file: `$TSBUILD_CONFIG`, else `tsbuild/config.json` where the user's configuration lies. */
export function configPath(env: Environment): string {
  if (env.TSBUILD_CONFIG) return env.TSBUILD_CONFIG;
  return join(env.XDG_CONFIG_HOME || join(homeOf(env), '.config'), 'tsbuild/config.json');
}

function settings(env: Environment): SettingsFor {
  let made: SettingsFor | undefined;
  return (host) => {
    made ??= registrySettings({
      registries: readRegistries(configPath(env)),
      daemonJson: '/etc/docker/daemon.json',
      certsFolders: [join(homeOf(env), '.config/containers/certs.d'), '/etc/containers/certs.d', '/etc/docker/certs.d'],
    });
    return made(host);
  };
}

/** @throws TsbuildError `registry-config` */
function readRegistries(path: string): ReturnType<typeof parseRegistriesSection> {
  const document = readJson(path);
  if (document?.registries === undefined) return {};
  // Certificates are named relative to the file that names them.
  return parseRegistriesSection(document.registries, (file) => {
    try {
      return readFileSync(resolve(dirname(path), file), 'utf8');
    } catch (cause) {
      throw unusable(path, `names ${file}, which cannot be read`, cause);
    }
  });
}

function readJson(path: string): { readonly registries?: unknown } | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as { readonly registries?: unknown };
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes(systemErrorCode(cause) ?? '')) return undefined;
    throw unusable(path, systemErrorCode(cause) === undefined ? 'is not JSON' : 'cannot be read', cause);
  }
}

function unusable(path: string, what: string, cause: unknown): TsbuildError {
  return new TsbuildError({
    code: 'registry-config',
    message: `the configuration file ${path} ${what}`,
    hint: 'Correct it; docs/cli.md describes it.',
    cause,
  });
}
