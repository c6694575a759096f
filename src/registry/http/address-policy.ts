/**
 * Addresses a registry must not be able to send us to. A redirect, an upload Location, a token realm or a page link is
 * chosen by the other side; pointed at 169.254.169.254 it would make us fetch a cloud machine's own credentials. The
 * host the user named is exempt: who runs a registry on a link-local address may use it.
 */

import { lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { describeRequest, RegistryError } from '../errors.ts';
import type { HttpRequest } from './message.ts';
import { unbracket } from './proxy.ts';

const metadataNames = new Set(['metadata', 'metadata.google.internal', 'instance-data', 'instance-data.ec2.internal']);

/** Made when a host other than the registry's own is first looked at: most commands meet none. */
let forbidden: BlockList | undefined;

function forbiddenAddresses(): BlockList {
  const list = new BlockList();
  list.addSubnet('169.254.0.0', 16, 'ipv4');
  list.addSubnet('0.0.0.0', 8, 'ipv4');
  list.addAddress('100.100.100.200', 'ipv4');
  list.addAddress('168.63.129.16', 'ipv4');
  list.addAddress('192.0.0.192', 'ipv4');
  list.addSubnet('fe80::', 10, 'ipv6');
  // The same behind NAT64 (RFC 6052).
  list.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6');
  list.addSubnet('fd00:ec2::', 32, 'ipv6');
  list.addAddress('fd20:ce::254', 'ipv6');
  list.addAddress('::', 'ipv6');
  return list;
}

/** True for link-local, unspecified and cloud-metadata addresses, IPv4-mapped forms included. */
export function isForbiddenAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 0) return false;
  forbidden ??= forbiddenAddresses();
  return forbidden.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

/** Refuses a request to a forbidden address by name, unless it goes to the registry's own host. */
export function checkAddress(request: HttpRequest): void {
  if (request.url.host === request.registryHost) return;
  const host = unbracket(request.url.hostname).toLowerCase().replace(/\.$/, '');
  if (!isForbiddenAddress(host) && !metadataNames.has(host)) return;
  throw forbiddenError(request, host);
}

export function forbiddenError(request: HttpRequest, address: string): RegistryError {
  return new RegistryError({
    code: 'registry-address-refused',
    message: `${describeRequest(request.method, request.url)}: ${request.registryHost} points to ${address}, a link-local or metadata address`,
    hint: 'Do not use this registry: an honest one has no reason to send clients there.',
  });
}

/** Error code of a name that resolves to a forbidden address. */
export const forbiddenAddressCode = 'ERR_TSBUILD_FORBIDDEN_ADDRESS';

/** DNS look-up for hosts the registry chose: a name that leads to a forbidden address does not resolve. */
export const guardedLookup: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, options, (error, address, family) => {
    const found = typeof address === 'string' ? [address] : (address ?? []).map((item) => item.address);
    const bad = error ? undefined : found.find(isForbiddenAddress);
    if (bad === undefined) return callback(error, address, family);
    callback(Object.assign(new Error(`${hostname} resolves to ${bad}`), { code: forbiddenAddressCode }), '', 0);
  });
};
