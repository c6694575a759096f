/**
 * What is known about a registry beyond its name: mirrors, certificates, whether plain http will do. tsbuild's own
 * configuration comes first; what docker keeps on the machine fills the gaps.
 */
import { TsbuildError } from '../../core/index.ts';
import type { TlsSettings } from '../http/tls.ts';
import { isListedInsecure, readCertificates, readDaemonSettings } from './host-files.ts';

export interface RegistrySettings extends TlsSettings {
  /**
   * Asked before the registry itself, in order, for reading only: `host[:port][/prefix]`, with `http://` or `https://`
   * before it if need be.
   */
  readonly mirrors?: readonly string[];
  /** Never try https. */
  readonly plainHttp?: boolean;
  /** Certificates are not checked, and plain http is used when https is not spoken. */
  readonly insecure?: boolean;
}

/** @param host as references name it, or the host of a mirror */
export type SettingsFor = (host: string) => RegistrySettings;

export interface SettingsSources {
  /** The `registries` section of tsbuild's configuration: settings by host. */
  readonly registries?: Readonly<Record<string, RegistrySettings>>;
  /** Path of daemon.json, usually /etc/docker/daemon.json. */
  readonly daemonJson?: string;
  /** certs.d folders, the first with certificates for a host wins: ~/.config/containers, /etc/containers, /etc/docker. */
  readonly certsFolders?: readonly string[];
}

/** Files are read when a host is first asked for. */
export function registrySettings(sources: SettingsSources): SettingsFor {
  const known = new Map<string, RegistrySettings>();
  return (host) => {
    const settings = known.get(host) ?? settingsOf(sources, host);
    known.set(host, settings);
    return settings;
  };
}

function settingsOf(sources: SettingsSources, host: string): RegistrySettings {
  const own = Object.hasOwn(sources.registries ?? {}, host) ? sources.registries?.[host] : undefined;
  const daemon = sources.daemonJson === undefined ? undefined : readDaemonSettings(sources.daemonJson);
  const certificates = (sources.certsFolders ?? [])
    .map((folder) => readCertificates(folder, host))
    .find((found) => Object.keys(found).length > 0);
  const mirrors = host === 'docker.io' ? (daemon?.mirrors ?? []) : [];
  return {
    ...certificates,
    ...(mirrors.length > 0 && { mirrors }),
    ...(daemon && isListedInsecure(daemon.insecure, host) && { insecure: true }),
    ...own,
  };
}

/**
 * The `registries` section out of untrusted JSON; certificates are given as PEM text or read by `readFile` from a path.
 * @throws TsbuildError `registry-config` naming the member that is wrong
 */
export function parseRegistriesSection(
  value: unknown,
  readFile: (path: string) => string,
): Readonly<Record<string, RegistrySettings>> {
  const section = record(value, 'registries');
  return Object.fromEntries(
    Object.entries(section).map(([host, raw]) => [
      host,
      parseSettings(record(raw, `registries.${host}`), host, readFile),
    ]),
  );
}

const members = new Set(['mirrors', 'plainHttp', 'insecure', 'skipVerify', 'ca', 'cert', 'key']);

function parseSettings(
  raw: Record<string, unknown>,
  host: string,
  readFile: (path: string) => string,
): RegistrySettings {
  const where = (name: string) => `registries.${host}.${name}`;
  const unknown = Object.keys(raw).find((name) => !members.has(name));
  if (unknown !== undefined) throw wrong(where(unknown), `is not known; known are ${[...members].join(', ')}`);
  const flag = (name: string): boolean => {
    if (raw[name] !== undefined && typeof raw[name] !== 'boolean') throw wrong(where(name), 'is not true or false');
    return raw[name] === true;
  };
  const texts = (name: string): readonly string[] => {
    const list = Array.isArray(raw[name]) ? raw[name] : [raw[name] ?? []].flat();
    if (!list.every((item) => typeof item === 'string')) throw wrong(where(name), 'is not a list of strings');
    return list;
  };
  const pem = (name: string): readonly string[] =>
    texts(name).map((item) => (item.includes('-----BEGIN') ? item : readFile(item)));
  const [ca, [cert], [key], mirrors] = [pem('ca'), pem('cert'), pem('key'), texts('mirrors')];
  if ((cert === undefined) !== (key === undefined)) throw wrong(where('cert'), 'and key must be given together');
  return {
    ...(mirrors.length > 0 && { mirrors }),
    ...(flag('plainHttp') && { plainHttp: true }),
    ...(flag('insecure') && { insecure: true }),
    ...(flag('skipVerify') && { skipVerify: true }),
    ...(ca.length > 0 && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
}

function record(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw wrong(where, 'is not an object');
}

function wrong(where: string, what: string): TsbuildError {
  return new TsbuildError({
    code: 'registry-config',
    message: `${where} ${what}`,
    hint: 'Correct it in the configuration file of tsbuild.',
  });
}
