/** Limits as the files of control groups have them (cgroups(7)). Pure. */
import type { StepLimits } from './types.ts';

export type Controller = 'memory' | 'cpu' | 'cpuset' | 'pids';

/** Files to write, in this order. */
export interface Settings {
  readonly controller: Controller;
  readonly v1: readonly Setting[];
  readonly v2: readonly Setting[];
}

export interface Setting {
  readonly file: string;
  readonly value: string;
  /** The kernel may be built or started without it. */
  readonly optional?: boolean;
}

export function settingsOf(limits: StepLimits): readonly Settings[] {
  const { memory, cpuShares, cpuPeriod, cpuQuota, cpusetCpus, cpusetMems, pids } = limits;
  const all: Settings[] = [];
  if (memory !== undefined) {
    // As Docker: as much swap as memory unless told otherwise.
    const total = limits.memorySwap ?? memory * 2;
    const swap = total === -1 ? 'max' : String(Math.max(0, total - memory));
    all.push({
      controller: 'memory',
      v1: [
        { file: 'memory.limit_in_bytes', value: String(memory) },
        { file: 'memory.memsw.limit_in_bytes', value: String(total), optional: true },
      ],
      v2: [
        { file: 'memory.max', value: String(memory) },
        { file: 'memory.swap.max', value: swap, optional: true },
      ],
    });
  }
  if (cpuShares !== undefined || cpuPeriod !== undefined || cpuQuota !== undefined) {
    const v1: Setting[] = [];
    const v2: Setting[] = [];
    if (cpuShares !== undefined) {
      v1.push({ file: 'cpu.shares', value: String(cpuShares) });
      v2.push({ file: 'cpu.weight', value: String(weightOf(cpuShares)) });
    }
    if (cpuPeriod !== undefined) v1.push({ file: 'cpu.cfs_period_us', value: String(cpuPeriod) });
    if (cpuQuota !== undefined) v1.push({ file: 'cpu.cfs_quota_us', value: String(cpuQuota) });
    if (cpuPeriod !== undefined || cpuQuota !== undefined) {
      const quota = cpuQuota === undefined || cpuQuota < 0 ? 'max' : String(cpuQuota);
      v2.push({ file: 'cpu.max', value: `${quota} ${cpuPeriod ?? 100_000}` });
    }
    all.push({ controller: 'cpu', v1, v2 });
  }
  if (cpusetCpus !== undefined || cpusetMems !== undefined) {
    const files: Setting[] = [];
    if (cpusetCpus !== undefined) files.push({ file: 'cpuset.cpus', value: cpusetCpus });
    if (cpusetMems !== undefined) files.push({ file: 'cpuset.mems', value: cpusetMems });
    all.push({ controller: 'cpuset', v1: files, v2: files });
  }
  if (pids !== undefined) {
    // PID 1, which is tsbuild's, counts too.
    const files = [{ file: 'pids.max', value: pids < 0 ? 'max' : String(pids + 1) }];
    all.push({ controller: 'pids', v1: files, v2: files });
  }
  return all;
}

/** The kernel's own mapping of shares (2 to 262144) to weight (1 to 10000). */
function weightOf(shares: number): number {
  const bounded = Math.min(262_144, Math.max(2, shares));
  return 1 + Math.floor(((bounded - 2) * 9999) / 262_142);
}
