/** The platform of this machine, for commands that should not load the builder to know it. */
import { arch } from 'node:os';
import { normalizePlatform, type Platform } from '../image/index.ts';

export function hostPlatform(): Platform {
  return normalizePlatform({ os: 'linux', architecture: arch() === 'ppc64' ? 'ppc64le' : arch() });
}
