/**
 * Settings that Docker keeps on a machine: `registry-mirrors` and `insecure-registries` of daemon.json, and the
 * certificates under certs.d/HOST/. Read when present, so that what works with docker works with tsbuild.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import { join } from 'node:path';
import { systemErrorCode, TsbuildError } from '../../core/index.ts';
import { unbracket } from '../http/proxy.ts';
import type { TlsSettings } from '../http/tls.ts';

export interface DaemonSettings {
  /** Mirrors of Docker Hub, as daemon.json lists them. */
  readonly mirrors: readonly string[];
  /** Hosts and address ranges. */
  readonly insecure: readonly string[];
}

/** @throws TsbuildError `registry-config` when the file is there and is no JSON */
export function readDaemonSettings(path: string): DaemonSettings {
  const text = readIfPresent(path);
  if (text === undefined) return { mirrors: [], insecure: [] };
  let document: Record<string, unknown>;
  try {
    document = JSON.parse(text) ?? {};
  } catch (cause) {
    throw new TsbuildError({
      code: 'registry-config',
      message: `${path} is not JSON`,
      hint: 'Correct it: docker reads the same file.',
      cause,
    });
  }
  return { mirrors: strings(document['registry-mirrors']), insecure: strings(document['insecure-registries']) };
}

/** True when a list of hosts and CIDR ranges names a host (its port, if given, must agree). */
export function isListedInsecure(list: readonly string[], host: string): boolean {
  const { hostname } = new URL(`https://${host}`);
  const address = unbracket(hostname);
  return list.some((entry) => {
    const range = /^([0-9a-fA-F.:]+)\/(\d+)$/.exec(entry);
    if (!range) return entry === host || entry === hostname;
    const family = isIP(address);
    if (family === 0 || isIP(range[1] ?? '') !== family) return false;
    const block = new BlockList();
    block.addSubnet(range[1] ?? '', Number(range[2]), family === 4 ? 'ipv4' : 'ipv6');
    return block.check(address, family === 4 ? 'ipv4' : 'ipv6');
  });
}

/**
 * The certificates of a host in a certs.d folder: every `*.crt` is an authority, `*.cert` with the `*.key` of the same
 * name is the client's.
 * @throws TsbuildError `registry-config` when a certificate has no key
 */
export function readCertificates(folder: string, host: string): TlsSettings {
  // A host with a slash or dots only would lead out of the folder.
  if (!/^[\w.:[\]-]+$/.test(host) || /^\.+$/.test(host)) return {};
  const own = join(folder, host);
  const names = filesIn(own);
  const ca = names.filter((name) => name.endsWith('.crt')).map((name) => readFileSync(join(own, name), 'utf8'));
  const cert = names.find((name) => name.endsWith('.cert'));
  if (cert === undefined) return ca.length === 0 ? {} : { ca };
  const key = `${cert.slice(0, -'.cert'.length)}.key`;
  if (!names.includes(key)) {
    throw new TsbuildError({
      code: 'registry-config',
      message: `${join(own, cert)} has no key beside it`,
      hint: `Put the private key into ${join(own, key)}.`,
    });
  }
  return {
    ...(ca.length > 0 && { ca }),
    cert: readFileSync(join(own, cert), 'utf8'),
    key: readFileSync(join(own, key), 'utf8'),
  };
}

function filesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(systemErrorCode(error) ?? '')) return [];
    throw error;
  }
}

function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(systemErrorCode(error) ?? '')) return undefined;
    throw error;
  }
}

function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
