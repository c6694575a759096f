/**
 * Which IDs a user namespace of ours gets: the user as root, and the user's subordinate ranges above.
 * Invariant: a map is complete for both users and groups or it is the single-ID map; there is nothing in between.
 */
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
  const owner = facts.userName ?? String(facts.uid);
  const [uids, gids] = (['/etc/subuid', '/etc/subgid'] as const).map((file) => {
    const ranges = subordinateRanges(readText(file), facts);
    const total = ranges.reduce((sum, range) => sum + range.count, 0);
    if (total < usefulCount) {
      const flag = file === '/etc/subuid' ? '--add-subuids' : '--add-subgids';
      findings.push({
        what: total === 0 ? `${file} has no range for ${owner}` : `${file} has only ${total} IDs for ${owner}`,
        remedy: `run as root: usermod ${flag} 100000-165535 ${owner}`,
      });
    }
    return ranges;
  });
  const [uidProgram, gidProgram] = programs;
  if (!uidProgram || !gidProgram || !uids?.length || !gids?.length) {
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
