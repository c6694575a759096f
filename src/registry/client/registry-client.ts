/**
 * The registry client: endpoints by host, each made once, and repositories on top of them.
 * Invariant: one client has one pool of connections, one set of tokens and one limit per host.
 */
import { TsbuildError } from '../../core/index.ts';
import type { Reference } from '../../image/index.ts';
import { noCredentials } from '../auth/credentials.ts';
import type { RegistrySettings } from '../config/registry-settings.ts';
import { limitPerHost } from '../http/host-limit.ts';
import { logRequests } from '../http/log.ts';
import { type Layer, stack } from '../http/message.ts';
import { followRedirects } from '../http/redirects.ts';
import { defaultRetryPolicy, retryTransient } from '../http/retry.ts';
import { createTransport } from '../http/transport.ts';
import { reportWarnings } from '../http/warnings.ts';
import { wireHost } from '../hub.ts';
import type { RegistryClientOptions } from './client-options.ts';
import { Endpoint, schemesFor } from './endpoint.ts';
import { maxPageBytes, pages } from './pages.ts';
import { type RegistryRepository, Repository } from './repository.ts';

export interface RegistryClient {
  /** The repository a reference is in; its tag and digest play no part. */
  repository(reference: Reference): RegistryRepository;
  /** Names of the repositories of a registry that lets itself be listed. */
  catalog(registry: string, signal: AbortSignal): AsyncIterable<string>;
  /** Asks whether the credentials in use are accepted. @throws RegistryError `registry-unauthorized` */
  verify(registry: string, signal: AbortSignal): Promise<void>;
  /** Breaks every connection. */
  close(): Promise<void>;
}

export function createRegistryClient(options: RegistryClientOptions): RegistryClient {
  const now = options.now ?? Date.now;
  const policy = { ...defaultRetryPolicy, ...options.retry };
  const settingsFor = options.settings ?? ((): RegistrySettings => ({}));
  const credentials = options.credentials ?? noCredentials;
  const transport = createTransport({
    ...(options.proxy && { proxy: options.proxy }),
    ...(options.timeouts && { timeouts: options.timeouts }),
    tlsFor: (host) => tlsSettings(settingsFor(host)),
  });
  const retry = retryTransient(policy, now);
  const wire = stack(
    transport.send,
    followRedirects(),
    limitPerHost(options.requestsPerHost ?? 8),
    ...listeners(options, now),
  );
  const lifetime = new AbortController();
  const endpoints = new Map<string, Endpoint>();

  const endpoint = (name: string, repository?: string): Endpoint => {
    // Credential files may have keys per repository, so an endpoint with its tokens belongs to one repository.
    const key = JSON.stringify([name, repository]);
    const known = endpoints.get(key);
    if (known) return known;
    const { host, prefix, settings } = addressOf(name, settingsFor);
    const made = new Endpoint({
      name,
      host,
      prefix,
      schemes: settings.schemes,
      credentials: (signal) => credentials.find(settings.credentialHost, repository, signal),
      wire,
      retry,
      policy,
      lifetime: lifetime.signal,
      userAgent: options.userAgent ?? 'tsbuild',
      now,
    });
    endpoints.set(key, made);
    return made;
  };

  return {
    repository: (reference) =>
      new Repository({
        reference,
        endpoint: endpoint(reference.registry, reference.repository),
        mirrors: (settingsFor(reference.registry).mirrors ?? []).map((mirror) => endpoint(mirror)),
        retry: policy,
        chunkSize: options.chunkSize ?? 0,
      }),
    catalog: (registry, signal) =>
      pages(
        '_catalog?n=1000',
        (target) =>
          endpoint(registry).expect(
            { method: 'GET', target, scopes: ['registry:catalog:*'], signal, readWhole: maxPageBytes },
            [200],
          ),
        (document) =>
          Array.isArray(document.repositories) ? document.repositories.filter((name) => typeof name === 'string') : [],
      ),
    async verify(registry, signal) {
      const { response } = await endpoint(registry).expect({ method: 'GET', target: '', signal }, [200]);
      response.body.discard();
    },
    async close() {
      lifetime.abort();
      await transport.close();
    },
  };
}

function listeners(options: RegistryClientOptions, now: () => number): Layer[] {
  return [
    ...(options.onWarning ? [reportWarnings(options.onWarning)] : []),
    ...(options.log ? [logRequests(options.log, now)] : []),
  ];
}

function tlsSettings(settings: RegistrySettings) {
  return {
    ...(settings.ca && { ca: settings.ca }),
    ...(settings.cert !== undefined && { cert: settings.cert }),
    ...(settings.key !== undefined && { key: settings.key }),
    ...((settings.skipVerify || settings.insecure) && { skipVerify: true }),
  };
}

/** A registry's name, or a mirror as it is configured: `[scheme://]host[:port][/prefix]`. */
function addressOf(name: string, settingsFor: (host: string) => RegistrySettings) {
  const parts = /^(?:(https?):\/\/)?([^/]+)(?:\/(.*?))?\/*$/.exec(name);
  const host = parts?.[2] ?? '';
  if (host === '' || !URL.canParse(`https://${host}`) || new URL(`https://${host}`).username !== '') {
    throw new TsbuildError({
      code: 'registry-config',
      message: 'the address of a mirror is not [http(s)://]host[:port][/prefix]',
      hint: 'Correct it in the registries configuration; credentials belong into tsbuild login.',
    });
  }
  const scheme = parts?.[1];
  const schemes = scheme === 'https' || scheme === 'http' ? ([scheme] as const) : schemesFor(host, settingsFor(host));
  return {
    host: wireHost(host),
    prefix: (parts?.[3] ?? '').replace(/^v2(\/|$)/, ''),
    settings: { schemes, credentialHost: host },
  };
}
