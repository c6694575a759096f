/** Wall time and peak memory of a few commands run one after the other. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Builder } from './builders.ts';

export interface Measurement {
  /** Wall time of all commands together. */
  readonly milliseconds: number;
  /** Bytes: the highest sum of resident memory seen, of the commands and of the builder's daemon with all its children. */
  readonly peakMemory: number;
}

const pageSize = 4096;

/** @throws Error with what the command printed, when one fails */
export async function measure(
  builder: Pick<Builder, 'daemon'> | undefined,
  commands: readonly (readonly string[])[],
  environment: Readonly<Record<string, string>>,
): Promise<Measurement> {
  let peakMemory = 0;
  const begin = performance.now();
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
  return { milliseconds: performance.now() - begin, peakMemory };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[middle - 1] ?? 0, sorted[middle] ?? 0];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}

/** Resident bytes of processes and all their descendants. Shared pages count for each. */
function residentMemory(roots: readonly number[]): number {
  const parents = new Map<number, number>();
  const resident = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      parents.set(Number(name), Number(fields[1]));
      resident.set(Number(name), Number(fields[21]) * pageSize);
    } catch {
      // It ended while we looked.
    }
  }
  const belongs = (pid: number): boolean => {
    for (let at = pid; at > 1; at = parents.get(at) ?? 0) if (roots.includes(at)) return true;
    return false;
  };
  return [...resident].filter(([pid]) => belongs(pid)).reduce((sum, [, bytes]) => sum + bytes, 0);
}
