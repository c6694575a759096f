import { arch } from 'node:os';
import { normalizePlatform, type Platform } from '../image/index.ts';

/** The platform of this machine, in OCI's words. */
export function hostPlatform(): Platform {
  const names: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };
  return normalizePlatform({ os: 'linux', architecture: names[arch()] ?? arch() });
}
