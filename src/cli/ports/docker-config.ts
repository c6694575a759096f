/** What tsbuild takes from docker's configuration file beside credentials. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

export function dockerConfigFolder(env: Environment): string {
  return env.DOCKER_CONFIG || join(env.HOME || homedir(), '.docker');
}

const proxyNames: Readonly<Record<string, string>> = {
  httpProxy: 'HTTP_PROXY',
  httpsProxy: 'HTTPS_PROXY',
  noProxy: 'NO_PROXY',
  ftpProxy: 'FTP_PROXY',
  allProxy: 'ALL_PROXY',
};

/**
 * `proxies` of config.json, for the engine of DOCKER_HOST or else `default`: variables in upper and lower case, which docker
 * gives to builds as arguments and to containers. A file that cannot be read has none.
 */
export function dockerProxies(env: Environment): Readonly<Record<string, string>> {
  const all = record(readConfig(env)?.proxies);
  const settings = record(all[env.DOCKER_HOST ?? ''] ?? all.default);
  return Object.fromEntries(
    Object.entries(proxyNames).flatMap(([key, name]) => {
      const value = settings[key];
      return typeof value === 'string' && value !== '' ? [name, name.toLowerCase()].map((one) => [one, value]) : [];
    }),
  );
}

function readConfig(env: Environment): Readonly<Record<string, unknown>> | undefined {
  try {
    return record(JSON.parse(readFileSync(join(dockerConfigFolder(env), 'config.json'), 'utf8')));
  } catch {
    // No file: most machines. One that is damaged is reported where credentials are read from it.
    return undefined;
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
