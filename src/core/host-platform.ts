/** The machine tsbuild runs on, in the words of OCI platforms. */
import { arch, machine } from 'node:os';

const names: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le', mipsel: 'mipsle' };

/** In the canonical form of `Platform` in the image room. A 32-bit Node on a 64-bit arm counts as arm/v7. */
export function hostPlatform(): { readonly os: 'linux'; readonly architecture: string; readonly variant?: string } {
  const architecture = names[arch()] ?? arch();
  if (architecture !== 'arm') return { os: 'linux', architecture };
  const generation = Math.min(7, Number(/^armv(\d)/.exec(machine())?.[1] ?? 7));
  return { os: 'linux', architecture, variant: `v${generation}` };
}
