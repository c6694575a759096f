/** Sizes, counts and ulimits as docker writes them, into the limits of a RUN step. */
import { nearest } from '../../core/index.ts';
import type { StepLimits } from '../../sandbox/index.ts';
import { invalidFlag, type ParsedFlags } from './flag.ts';

const units: Readonly<Record<string, number>> = { '': 0, b: 0, k: 1, m: 2, g: 3, t: 4, p: 5 };

const ulimitNames = [
  'as',
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
];

/** Bytes of `64m`, `1.5GiB`, `512`: powers of 1024, as docker's RAM sizes. @throws TsbuildError `flag-invalid` */
export function parseSize(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([bkmgtp]?)(?:i?b)?$/i.exec(text);
  const power = units[(match?.[2] ?? '').toLowerCase()];
  const bytes = Math.floor(Number(match?.[1]) * 1024 ** (power ?? 0));
  if (!match || power === undefined || !Number.isSafeInteger(bytes)) {
    throw invalidFlag(flag, `${JSON.stringify(text)} is not a size`, 'Write bytes, or a number with k, m or g: 64m.');
  }
  return bytes;
}

/** `nofile=1024:2048`, `core=-1`. @throws TsbuildError `flag-invalid` */
export function parseUlimit(text: string): { name: string; soft: number; hard: number } {
  const match = /^([a-z]+)=(-1|\d+)(?::(-1|\d+))?$/.exec(text);
  const [, name = '', softText = '', hardText = softText] = match ?? [];
  if (!match)
    throw invalidFlag('--ulimit', `${JSON.stringify(text)} is not name=soft[:hard]`, 'Write e.g. nofile=1024:2048.');
  if (!ulimitNames.includes(name)) {
    const near = nearest(name, ulimitNames);
    throw invalidFlag(
      '--ulimit',
      `there is no limit named ${name}`,
      `${near ? `Did you mean ${near}? ` : ''}Known: ${ulimitNames.join(', ')}.`,
    );
  }
  const [soft, hard] = [Number(softText), Number(hardText)];
  if (hard !== -1 && (soft === -1 || soft > hard)) {
    throw invalidFlag('--ulimit', `${text}: the soft limit is above the hard limit`);
  }
  return { name, soft, hard };
}

/** The resource flags of `build` as limits; what was not given is left out. */
export function parseLimits(flags: ParsedFlags): StepLimits {
  const size = (name: string) => whenGiven(flags, name, (text) => parseSize(`--${name}`, text));
  const count = (name: string, least = 0) => whenGiven(flags, name, (text) => parseCount(`--${name}`, text, least));
  const text = (name: string) => whenGiven(flags, name, (value) => value);
  const limits = {
    memory: size('memory'),
    memorySwap: whenGiven(flags, 'memory-swap', (value) => (value === '-1' ? -1 : parseSize('--memory-swap', value))),
    cpuShares: count('cpu-shares'),
    cpuPeriod: count('cpu-period'),
    cpuQuota: count('cpu-quota', -1),
    cpusetCpus: cpuList(flags, 'cpuset-cpus'),
    cpusetMems: cpuList(flags, 'cpuset-mems'),
    pids: count('pids-limit', -1),
    shmSize: size('shm-size'),
    ulimits: flags.given('ulimit') ? flags.all('ulimit').map(parseUlimit) : undefined,
    cgroupParent: text('cgroup-parent'),
  };
  if (limits.memorySwap !== undefined && limits.memory === undefined && limits.memorySwap > 0) {
    throw invalidFlag('--memory-swap', 'needs --memory as well', 'It is the sum of memory and swap: add --memory.');
  }
  if (limits.memorySwap !== undefined && limits.memorySwap > 0 && limits.memorySwap < (limits.memory ?? 0)) {
    throw invalidFlag('--memory-swap', 'is smaller than --memory', 'It is the sum of memory and swap.');
  }
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined));
}

function whenGiven<T>(flags: ParsedFlags, name: string, read: (text: string) => T): T | undefined {
  const value = flags.text(name);
  return value === undefined ? undefined : read(value);
}

function parseCount(flag: string, text: string, least: number): number {
  const count = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(count) || count < least) {
    throw invalidFlag(flag, `${JSON.stringify(text)} is not a whole number from ${least} on`);
  }
  return count;
}

function cpuList(flags: ParsedFlags, name: string): string | undefined {
  return whenGiven(flags, name, (text) => {
    if (/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(text)) return text;
    throw invalidFlag(`--${name}`, `${JSON.stringify(text)} is not a list of numbers and ranges`, 'Write e.g. 0-2,4.');
  });
}
