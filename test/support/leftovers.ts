/**
 * What a run of all tests may not leave: the tests and everything they start have a temporary folder of their own, so what
 * stays is told from what others do on this machine at the same time.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** What is left of a run, one line each. @param since milliseconds since 1970 when the run began */
export function leftovers(folder: string, since: number): string[] {
  return [...filesIn(folder), ...processesOf(folder), ...orphanedHelpers(since), ...mountsOf(folder), ...groups(since)];
}

/** Files of other programs (a package manager, a compiler that was stopped) are theirs. */
function filesIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith('tsbuild'))
    .map((name) => `file ${join(folder, name)}`);
}

/** Processes that were started with the folder for TMPDIR, or are told a path in it. */
function processesOf(folder: string): string[] {
  return processes().flatMap((pid) => {
    const told = text(`/proc/${pid}/cmdline`);
    const started = text(`/proc/${pid}/environ`).split('\0').includes(`TMPDIR=${folder}`);
    const own = pid === process.pid || isAncestor(process.pid, pid);
    return !own && (started || told.includes(`${folder}/`)) ? [describe(pid)] : [];
  });
}

/** The helper has no environment. One whose tsbuild is gone belongs to init, and ought to be gone, too. */
function orphanedHelpers(since: number): string[] {
  return processes().flatMap((pid) => {
    const { name, state, parent, begun } = statusOf(pid);
    return /^(memfd:)?tsbuild-s/.test(name) && state !== 'Z' && parent === 1 && begun >= since ? [describe(pid)] : [];
  });
}

function mountsOf(folder: string): string[] {
  return text('/proc/self/mountinfo')
    .split('\n')
    .filter((line) => line.includes(`${folder}/`))
    .map((line) => `mount ${line}`);
}

/** Control groups of steps carry the process ID of their tsbuild. */
function groups(since: number): string[] {
  const found: string[] = [];
  const visit = (path: string, depth: number) => {
    for (const entry of entriesOf(path)) {
      const below = join(path, entry);
      const [, pid] = /^tsbuild-(\d+)-/.exec(entry) ?? [];
      const made = pid !== undefined && text(`/proc/${pid}/stat`) === '' && modified(below) >= since;
      if (made) found.push(`control group ${below}`);
      else if (depth < 4) visit(below, depth + 1);
    }
  };
  visit('/sys/fs/cgroup', 0);
  return found;
}

function entriesOf(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    return [];
  }
}

function modified(path: string): number {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}

function processes(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function isAncestor(pid: number, of: number): boolean {
  for (let at = pid; at > 1; at = statusOf(at).parent) if (at === of) return true;
  return false;
}

/** `begun`: milliseconds since 1970, to a few of them. */
function statusOf(pid: number): { name: string; state: string; parent: number; begun: number } {
  const line = text(`/proc/${pid}/stat`);
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const name = line.slice(line.indexOf('(') + 1, line.lastIndexOf(')'));
  const booted = Number(/^btime (\d+)$/m.exec(text('/proc/stat'))?.[1] ?? 0) * 1000;
  return { name, state: fields[0] ?? '', parent: Number(fields[1] ?? 0), begun: booted + Number(fields[19] ?? 0) * 10 };
}

function describe(pid: number): string {
  return `process ${pid} ${text(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')}`;
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
