/** What a registry client is made of; everything that comes from outside the process arrives here. */
import type { CredentialSource } from '../auth/credentials.ts';
import type { SettingsFor } from '../config/registry-settings.ts';
import type { HttpLogEntry } from '../http/log.ts';
import type { ProxySettings } from '../http/proxy.ts';
import type { RetryPolicy } from '../http/retry.ts';
import type { Timeouts } from '../http/transport.ts';

export interface RegistryClientOptions {
  /** Default: none. */
  readonly credentials?: CredentialSource;
  /** Mirrors, certificates, plain http. Default: nothing special about any host. */
  readonly settings?: SettingsFor;
  readonly proxy?: ProxySettings;
  readonly timeouts?: Timeouts;
  readonly retry?: Partial<RetryPolicy>;
  /** Requests in flight per host. Default 8. */
  readonly requestsPerHost?: number;
  /** Bytes; above 0 every upload goes in chunks of this size. Default 0: whole, chunks only when a registry wants them. */
  readonly chunkSize?: number;
  /** Default `tsbuild`. */
  readonly userAgent?: string;
  /** One entry per request on the wire, redacted. */
  readonly log?: (entry: HttpLogEntry) => void;
  /** What a registry says in `Warning` headers (distribution spec, "Warnings"), once per text. */
  readonly onWarning?: (host: string, text: string) => void;
  /** Milliseconds since 1970. Default Date.now. */
  readonly now?: () => number;
}
