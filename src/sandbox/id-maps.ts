/**
 * Which IDs a user namespace of ours gets: the user as root, and the user's subordinate ranges above.
 * Invariant: a map is complete for both users and groups or it is the single-ID map; there is nothing in between.
 */
import { basename } from 'node:path';
import { firstExecutable, type HostFacts, isSetuid, readText } from './host-facts.ts';

export interface IdMaps {
  readonly kind: 'identity' | 'ranges' | 'single';
  /** Arguments of `tsbuild-sandbox userns` up to its `--`. */
  readonly helperArguments: readonly string[];
  /** Why it is the single-ID map. */
  readonly findings: readonly { readonly what: string; readonly remedy?: string }[];
}

interface Range {
  readonly start: number;
  readonly count: number;
}

const rangeFiles = ['/etc/subuid', '/etc/subgid'] as const;

/** Fewer than this and ordinary images have owners without a place. */
const usefulCount = 65_536;

export function idMaps(facts: HostFacts): IdMaps {
  if (facts.uid === 0) return identityMaps();
  const findings: { what: string; remedy?: string }[] = [];
  const programs = ['newuidmap', 'newgidmap'].map((name) => {
    const path = firstExecutable([`/usr/bin/${name}`, `/bin/${name}`, `/usr/sbin/${name}`]);
    if (path === undefined) {
      findings.push({
        what: `${name} is not installed`,
        remedy: 'install it (Debian and Ubuntu: apt-get install uidmap)',
      });
    }
    return path;
  });
  const texts = rangeFiles.map(readText);
  const [uids = [], gids = []] = texts.map((text) => subordinateRanges(text, facts));
  const lacking = rangeFiles.filter((_, i) => total(i === 0 ? uids : gids) < usefulCount);
  if (lacking.length > 0) {
    findings.push({
      what: `${facts.userName ?? facts.uid} has fewer than ${usefulCount} IDs in ${lacking.join(' and ')}`,
      remedy: `run as root: ${rangeCommand(facts, lacking, texts)}`,
    });
  }
  const [uidProgram, gidProgram] = programs;
  if (!uidProgram || !gidProgram || uids.length === 0 || gids.length === 0) {
    return { kind: 'single', helperArguments: ['-', '-', '0', '0'], findings };
  }
  for (const program of [uidProgram, gidProgram]) {
    if (!isSetuid(program)) {
      findings.push({
        what: `${program} is not setuid`,
        remedy: `run as root: chmod u+s ${program} (unless it has file capabilities)`,
      });
    }
  }
  const gid = process.getegid?.() ?? facts.uid;
  return {
    kind: 'ranges',
    helperArguments: [uidProgram, gidProgram, ...mapNumbers(facts.uid, uids), ...mapNumbers(gid, gids)],
    findings,
  };
}

/** Gives the IDs behind all that anybody has. usermod knows named users only. */
function rangeCommand({ userName, uid }: HostFacts, files: readonly string[], texts: readonly string[]): string {
  const taken = texts.flatMap((text) => text.split('\n')).map((line) => line.split(':').slice(1).map(Number));
  const ends = taken.map(([start = 0, count = 0]) => start + count).filter(Number.isSafeInteger);
  const first = Math.max(100_000, ...ends);
  if (userName === undefined) return `echo ${uid}:${first}:${usefulCount} | tee -a ${files.join(' ')}`;
  const flags = files.map((file) => `--add-${basename(file)}s ${first}-${first + usefulCount - 1}`);
  return `usermod ${flags.join(' ')} ${userName}`;
}

function total(ranges: readonly Range[]): number {
  return ranges.reduce((sum, range) => sum + range.count, 0);
}

/** Root keeps every ID it has. */
function identityMaps(): IdMaps {
  const own = (file: string) => {
    const numbers = readText(file).trim().split(/\s+/);
    const inside: string[] = [];
    for (let i = 0; i + 2 < numbers.length; i += 3) {
      const first = numbers[i] ?? '0';
      inside.push(first, first, numbers[i + 2] ?? '1');
    }
    return [String(inside.length), ...inside];
  };
  return {
    kind: 'identity',
    helperArguments: ['-', '-', ...own('/proc/self/uid_map'), ...own('/proc/self/gid_map')],
    findings: [],
  };
}

/** Lines `name-or-uid:start:count` (subuid(5)). */
function subordinateRanges(text: string, facts: HostFacts): Range[] {
  const ranges: Range[] = [];
  for (const line of text.split('\n')) {
    const [owner, start, count] = line.split(':');
    if (owner === undefined || (owner !== facts.userName && owner !== String(facts.uid))) continue;
    const range = { start: Number(start), count: Number(count) };
    if (Number.isSafeInteger(range.start) && Number.isSafeInteger(range.count) && range.count > 0) ranges.push(range);
  }
  return ranges.slice(0, 10);
}

function mapNumbers(own: number, ranges: readonly Range[]): string[] {
  const numbers = [0, own, 1];
  let inside = 1;
  for (const { start, count } of ranges) {
    numbers.push(inside, start, count);
    inside += count;
  }
  return [String(numbers.length), ...numbers.map(String)];
}
