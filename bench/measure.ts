/** Wall time and peak memory of a few commands run one after the other. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Builder } from './builders.ts';

export interface Measurement {
  /** Wall time of all commands together. */
  readonly milliseconds: number;
  /** CPU time of all of them, user and system, with the daemon's children that have ended. */
  readonly cpuMilliseconds: number;
  /** Bytes: the highest sum of resident memory seen, of the commands and of the builder's daemon with all its children. */
  readonly peakMemory: number;
}

const pageSize = 4096;
/** USER_HZ of Linux, in every build of it. */
const millisecondsPerTick = 10;

/** @throws Error with what the command printed, when one fails */
export async function measure(
  builder: Pick<Builder, 'daemon'> | undefined,
  commands: readonly (readonly string[])[],
  environment: Readonly<Record<string, string>>,
): Promise<Measurement> {
  let peakMemory = 0;
  const begin = performance.now();
  // What this process waited for is counted as its children's.
  const cpuBefore = cpuTicks(process.pid, 'children') + daemonTicks(builder?.daemon);
  for (const [program = '', ...args] of commands) {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment } });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output = (output + chunk.toString()).slice(-4000);
      });
    }
    const roots = [child.pid, builder?.daemon].filter((pid) => pid !== undefined);
    const timer = setInterval(() => {
      peakMemory = Math.max(peakMemory, residentMemory(roots));
    }, 50);
    const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
    clearInterval(timer);
    if (code !== 0) throw new Error(`${program} ${args.join(' ')} exited with ${code}\n${output}`);
  }
  const ticks = cpuTicks(process.pid, 'children') + daemonTicks(builder?.daemon) - cpuBefore;
  return { milliseconds: performance.now() - begin, cpuMilliseconds: ticks * millisecondsPerTick, peakMemory };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[middle - 1] ?? 0, sorted[middle] ?? 0];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}

function daemonTicks(daemon: number | undefined): number {
  if (daemon === undefined) return 0;
  return descendants([daemon]).reduce((sum, pid) => sum + cpuTicks(pid, 'own') + cpuTicks(pid, 'children'), 0);
}

/** User and system time (proc(5), fields 14 to 17 of stat): its own, or its ended children's. */
function cpuTicks(pid: number, whose: 'own' | 'children'): number {
  const fields = statFields(pid);
  const first = whose === 'own' ? 11 : 13;
  return Number(fields?.[first] ?? 0) + Number(fields?.[first + 1] ?? 0);
}

/** From the third field on, for the second may hold spaces; undefined when the process has ended. */
function statFields(pid: number): readonly string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** Resident bytes of processes and all their descendants. Shared pages count for each. */
function residentMemory(roots: readonly number[]): number {
  return descendants(roots).reduce((sum, pid) => sum + Number(statFields(pid)?.[21] ?? 0) * pageSize, 0);
}

/** Those that live, with the roots themselves. */
function descendants(roots: readonly number[]): readonly number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const fields = /^\d+$/.test(name) ? statFields(Number(name)) : undefined;
    if (fields) parents.set(Number(name), Number(fields[1]));
  }
  const belongs = (pid: number): boolean => {
    for (let at = pid; at > 1; at = parents.get(at) ?? 0) if (roots.includes(at)) return true;
    return false;
  };
  return [...parents.keys()].filter(belongs);
}
