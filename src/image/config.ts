/**
 * Image configurations (OCI image spec config.md, with the members Docker adds: Healthcheck, OnBuild, Shell, ArgsEscaped).
 * Invariant: members tsbuild does not know survive in `extra` and are written back.
 */
import { canonicalJson, TsbuildError } from '../core/index.ts';
import { type Digest, digestOf, isDigest } from './digest.ts';
import type { Platform } from './platform.ts';

export interface HealthConfig {
  /** `['NONE']`, `['CMD', …]` or `['CMD-SHELL', text]`. */
  readonly Test?: readonly string[];
  /** Nanoseconds. */
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

/** The `config` member: what a container made from the image runs as. */
export interface RuntimeConfig {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>;
  /** `NAME=value`, in order. */
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Volumes?: Readonly<Record<string, Record<string, never>>>;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
  readonly Healthcheck?: HealthConfig;
  readonly OnBuild?: readonly string[];
  readonly Shell?: readonly string[];
  readonly ArgsEscaped?: boolean;
}

export interface HistoryEntry {
  /** RFC 3339. */
  readonly created?: string;
  readonly created_by?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

export interface ImageConfig extends Platform {
  readonly created?: string;
  readonly author?: string;
  readonly config: RuntimeConfig;
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly Digest[] };
  readonly history: readonly HistoryEntry[];
  /** Top-level members tsbuild does not interpret, kept as they came. */
  readonly extra: Readonly<Record<string, unknown>>;
}

const knownMembers = new Set([
  'architecture',
  'os',
  'variant',
  'os.version',
  'os.features',
  'created',
  'author',
  'config',
  'rootfs',
  'history',
]);

/** @throws TsbuildError `config-invalid` */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const fail = (what: string, cause?: unknown): never => {
    throw new TsbuildError({
      code: 'config-invalid',
      message: `the image configuration ${what}`,
      hint: 'The image is damaged or is not a container image; push it again.',
      ...(cause !== undefined && { cause }),
    });
  };
  let raw: Record<string, unknown>;
  try {
    raw = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    return fail('is not JSON', cause);
  }
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return fail('is not an object');
  const rootfs = raw.rootfs as { diff_ids?: unknown } | undefined;
  const diffIds = rootfs?.diff_ids ?? [];
  if (!Array.isArray(diffIds) || !diffIds.every(isDigest)) return fail('has no valid rootfs.diff_ids');
  if (typeof raw.os !== 'string' || typeof raw.architecture !== 'string') return fail('names no os and architecture');
  const history = raw.history ?? [];
  if (!Array.isArray(history)) return fail('has a history that is not a list');
  return {
    os: raw.os,
    architecture: raw.architecture,
    ...(typeof raw.variant === 'string' && { variant: raw.variant }),
    ...(typeof raw['os.version'] === 'string' && { 'os.version': raw['os.version'] }),
    ...(Array.isArray(raw['os.features']) && { 'os.features': raw['os.features'].map(String) }),
    ...(typeof raw.created === 'string' && { created: raw.created }),
    ...(typeof raw.author === 'string' && { author: raw.author }),
    config: withoutNulls((raw.config ?? {}) as Record<string, unknown>) as RuntimeConfig,
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: history as HistoryEntry[],
    extra: Object.fromEntries(Object.entries(raw).filter(([name]) => !knownMembers.has(name))),
  };
}

/** Canonical bytes: sorted keys, so equal configurations have equal digests. */
export function serializeImageConfig(config: ImageConfig): Buffer {
  const { extra, ...known } = config;
  return Buffer.from(canonicalJson({ ...extra, ...known }));
}

/** An image without layers, for `FROM scratch`. */
export function scratchConfig(platform: Platform): ImageConfig {
  return { ...platform, config: {}, rootfs: { type: 'layers', diff_ids: [] }, history: [], extra: {} };
}

/** Chain ID of one more layer on top of a chain (OCI image spec config.md, "Layer ChainID"). `undefined`: nothing beneath. */
export function chainIdOf(parent: Digest | undefined, diffId: Digest): Digest {
  return parent === undefined ? diffId : digestOf(`${parent} ${diffId}`);
}

/** The chain IDs of a list of layers, lowest first: the n-th names the tree of layers 0..n. */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const result: Digest[] = [];
  for (const diffId of diffIds) result.push(chainIdOf(result.at(-1), diffId));
  return result;
}

function withoutNulls(record: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== null));
}
