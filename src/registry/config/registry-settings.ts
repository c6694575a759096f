/** What is known about a registry beyond its name: mirrors, certificates, whether plain http will do. */
import type { TlsSettings } from '../http/tls.ts';

export interface RegistrySettings extends TlsSettings {
  /** Asked before the registry itself, in order, for reading only: `host[:port][/prefix]`, with `http://` or `https://` before it if need be. */
  readonly mirrors?: readonly string[];
  /** Never try https. */
  readonly plainHttp?: boolean;
  /** Certificates are not checked, and plain http is used when https is not spoken. */
  readonly insecure?: boolean;
}

/** @param host as references name it, or the host of a mirror */
export type SettingsFor = (host: string) => RegistrySettings;
