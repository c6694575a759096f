/**
 * Platforms: `os/arch[/variant]`, normalised as containerd's `platforms` package does, so that what users type, what
 * registries say and what BuildKit writes mean the same.
 */
import { nearest, TsbuildError } from '../core/index.ts';

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly 'os.version'?: string;
  readonly 'os.features'?: readonly string[];
}

const architectureAliases: Readonly<Record<string, readonly [string, string]>> = {
  x86_64: ['amd64', ''],
  'x86-64': ['amd64', ''],
  x64: ['amd64', ''],
  i386: ['386', ''],
  ia32: ['386', ''],
  aarch64: ['arm64', ''],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
};

/**
 * Reads what a user wrote: `linux/amd64`, `linux/arm/v7`, `arm64`, `linux`.
 * @param host supplies what is left out
 * @throws TsbuildError `platform-invalid`
 */
export function parsePlatform(text: string, host: Platform): Platform {
  const parts = text.split('/');
  const [first = '', second, third] = parts;
  if (parts.length > 3 || parts.some((part) => !/^[A-Za-z0-9_.-]+$/.test(part))) {
    throw new TsbuildError({
      code: 'platform-invalid',
      message: `${JSON.stringify(text)} is not a platform`,
      hint: 'Write os/arch or os/arch/variant, e.g. linux/amd64 or linux/arm/v7.',
    });
  }
  if (second !== undefined) {
    refuseMistyped(text, first, systems);
    refuseMistyped(text, second, architectures);
    return normalizePlatform({ os: first, architecture: second, ...(third !== undefined && { variant: third }) });
  }
  if (systems.includes(first.toLowerCase())) return normalizePlatform({ ...host, os: first });
  refuseMistyped(text, first, [...architectures, ...systems]);
  return normalizePlatform({ os: host.os, architecture: first });
}

const systems = ['linux', 'windows', 'darwin', 'macos', 'freebsd', 'netbsd', 'openbsd', 'wasip1', 'js'];

/** Go's, and what is also said for them. */
const architectures = [
  ...['386', 'amd64', 'arm', 'arm64', 'loong64', 'mips', 'mips64', 'mips64le', 'mipsle', 'ppc64', 'ppc64le'],
  ...['riscv64', 's390x', 'wasm', ...Object.keys(architectureAliases)],
];

/** A word that is near no known one may be a machine we do not know. */
function refuseMistyped(text: string, word: string, known: readonly string[]): void {
  const near = known.includes(word.toLowerCase()) ? undefined : nearest(word, known);
  if (near === undefined) return;
  throw new TsbuildError({
    code: 'platform-invalid',
    message: `${JSON.stringify(text)} is not a platform`,
    hint: `Did you mean ${text.replace(word, near)}?`,
  });
}

/** The canonical form: lower case, aliases resolved, the default variant left out (arm keeps v7, amd64/v1 and arm64/v8 go). */
export function normalizePlatform(platform: Platform): Platform {
  const [architecture, aliasVariant] = architectureAliases[platform.architecture.toLowerCase()] ?? [
    platform.architecture.toLowerCase(),
    '',
  ];
  let variant = (platform.variant ?? '').toLowerCase() || aliasVariant;
  if (/^[5-8]$/.test(variant)) variant = `v${variant}`;
  if (architecture === 'arm64' && variant === 'v8') variant = '';
  if (architecture === 'amd64' && variant === 'v1') variant = '';
  if (architecture === 'arm' && variant === '') variant = 'v7';
  const os = platform.os.toLowerCase() === 'macos' ? 'darwin' : platform.os.toLowerCase();
  return {
    os,
    architecture,
    ...(variant !== '' && { variant }),
    ...(platform['os.version'] !== undefined && { 'os.version': platform['os.version'] }),
    ...(platform['os.features'] !== undefined && { 'os.features': platform['os.features'] }),
  };
}

/** `linux/arm/v7`. */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/');
}

/**
 * How well content for `offered` serves a machine that wants `wanted`: higher is better, 0 is not at all. An older arm
 * variant serves a newer one, as in containerd.
 */
export function platformMatch(wanted: Platform, offered: Platform): number {
  const want = normalizePlatform(wanted);
  const have = normalizePlatform(offered);
  if (want.os !== have.os || want.architecture !== have.architecture) return 0;
  if (want.variant === have.variant) return 100;
  const level = (platform: Platform) => Number(/^v(\d+)$/.exec(platform.variant ?? 'v1')?.[1] ?? Number.NaN);
  const [wantLevel, haveLevel] = [level(want), level(have)];
  return haveLevel < wantLevel ? 100 - (wantLevel - haveLevel) : 0;
}

/** A platform out of untrusted JSON. @throws TsbuildError `manifest-invalid` */
export function parsePlatformObject(value: unknown, where: string): Platform {
  const raw = (value ?? {}) as Record<string, unknown>;
  if (typeof value !== 'object' || typeof raw.os !== 'string' || typeof raw.architecture !== 'string') {
    throw new TsbuildError({ code: 'manifest-invalid', message: `${where} is not a platform` });
  }
  return {
    os: raw.os,
    architecture: raw.architecture,
    ...(typeof raw.variant === 'string' && raw.variant !== '' && { variant: raw.variant }),
    ...(typeof raw['os.version'] === 'string' && { 'os.version': raw['os.version'] }),
    ...(Array.isArray(raw['os.features']) && { 'os.features': raw['os.features'].map(String) }),
  };
}
