/**
 * Limits on memory, processors and processes, through control groups of version 1, version 2, or both at once.
 * Invariant: a step without such a limit touches no control group; a group that was made is removed after its step.
 */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { systemErrorCode, TsbuildError } from '../core/index.ts';
import { hostFacts, readText } from './host-facts.ts';
import type { StepLimits } from './types.ts';

export interface ControlGroup {
  /** Files the step's first process ID is written to. */
  readonly joinFiles: readonly string[];
  /** How often the kernel killed for want of memory. */
  outOfMemoryKills(): number;
  /** Removes it; its processes are gone by then, but the kernel may take a moment. */
  remove(): Promise<void>;
}

type Controller = 'memory' | 'cpu' | 'cpuset' | 'pids';

/** Files to write, in this order. */
interface Settings {
  readonly controller: Controller;
  readonly v1: readonly Setting[];
  readonly v2: readonly Setting[];
}

interface Setting {
  readonly file: string;
  readonly value: string;
  /** The kernel may be built or started without it. */
  readonly optional?: boolean;
}

/** One directory of one hierarchy. */
interface Place {
  readonly version: 1 | 2;
  readonly directory: string;
}

/**
 * @param name unique among the running steps of this machine
 * @throws TsbuildError `sandbox-limit-failed`
 */
export function makeControlGroup(limits: StepLimits, name: string): ControlGroup | undefined {
  const wanted = settingsOf(limits);
  if (wanted.length === 0) return undefined;
  const made: string[] = [];
  const joinFiles = new Set<string>();
  let memory: Place | undefined;
  try {
    for (const { controller, v1, v2 } of wanted) {
      const parent = parentOf(controller, limits.cgroupParent);
      const directory = join(parent.directory, name);
      if (!made.includes(directory)) {
        mkdirSync(directory, { recursive: true });
        made.push(directory);
      }
      if (controller === 'cpuset' && parent.version === 1) inheritProcessors(directory);
      for (const setting of parent.version === 1 ? v1 : v2) apply(directory, setting);
      if (controller === 'memory') memory = { version: parent.version, directory };
      joinFiles.add(join(directory, 'cgroup.procs'));
    }
  } catch (error) {
    for (const directory of made) removeNow(directory);
    throw limitFailed(error);
  }
  return {
    joinFiles: [...joinFiles],
    outOfMemoryKills: () => (memory === undefined ? 0 : killsOf(memory)),
    remove: async () => {
      for (const directory of made) await removeSoon(directory);
    },
  };
}

function settingsOf(limits: StepLimits): readonly Settings[] {
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

/** Where groups for a controller are made: below this process's own, or below `--cgroup-parent`. */
function parentOf(controller: Controller, cgroupParent: string | undefined): Place {
  const v1 = hierarchy((line) => line.type === 'cgroup' && line.options.includes(controller));
  if (v1) return { version: 1, directory: below(v1, cgroupParent ?? ownPath(controller)) };
  const v2 = hierarchy((line) => line.type === 'cgroup2');
  if (!v2) {
    throw new TsbuildError({
      code: 'sandbox-limit-failed',
      message: `this machine has no control group for ${controller}`,
      hint: 'leave the limit out, or mount the control groups at /sys/fs/cgroup',
    });
  }
  const parent = below(v2, cgroupParent ?? unifiedParent());
  mkdirSync(parent, { recursive: true });
  enable(v2, parent, controller);
  return { version: 2, directory: parent };
}

/**
 * A group with members cannot have controllers for its children, and ours has: so groups are made at the top, beside
 * those of other engines, where that is permitted, else below the group that was delegated to us.
 */
function unifiedParent(): string {
  const { uid, initialUserNamespace } = hostFacts();
  return uid === 0 && initialUserNamespace ? 'tsbuild' : dirname(ownPath(''));
}

/** Makes a controller available to the children of a group, from the top down. */
function enable(mountPoint: string, directory: string, controller: Controller): void {
  if (directory !== mountPoint && directory.startsWith(mountPoint)) enable(mountPoint, dirname(directory), controller);
  const file = join(directory, 'cgroup.subtree_control');
  if (!readText(file).split(/\s+/).includes(controller)) writeFileSync(file, `+${controller}`);
}

/** Never above the hierarchy's top. */
function below(mountPoint: string, path: string): string {
  return join(mountPoint, join('/', path));
}

/** This process's group for a version 1 controller; '' asks for version 2. */
function ownPath(controller: string): string {
  for (const line of readText('/proc/self/cgroup').split('\n')) {
    const [, controllers = '', ...path] = line.split(':');
    if (controllers.split(',').includes(controller)) return path.join(':');
  }
  return '/';
}

interface MountLine {
  readonly type: string;
  readonly options: readonly string[];
}

/** Mount point of the first mount that fits (proc_pid_mountinfo(5)). */
function hierarchy(fits: (line: MountLine) => boolean): string | undefined {
  for (const line of readText('/proc/self/mountinfo').split('\n')) {
    const [front = '', back = ''] = line.split(' - ');
    const [type = '', , options = ''] = back.split(' ');
    const mountPoint = front.split(' ')[4];
    if (mountPoint !== undefined && fits({ type, options: options.split(',') })) return mountPoint;
  }
  return undefined;
}

/** Version 1 takes no process into a group without processors and memory nodes, and inherits none. */
function inheritProcessors(directory: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    if (readText(join(directory, file)).trim() === '') {
      writeFileSync(join(directory, file), readText(join(dirname(directory), file)).trim());
    }
  }
}

function apply(directory: string, { file, value, optional = false }: Setting): void {
  if (optional && !existsSync(join(directory, file))) return;
  writeFileSync(join(directory, file), value);
}

function killsOf({ version, directory }: Place): number {
  const text = readText(join(directory, version === 1 ? 'memory.oom_control' : 'memory.events'));
  return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
}

function removeNow(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    return systemErrorCode(error) === 'ENOENT';
  }
}

/** EBUSY lasts until the last process is wholly gone; what stays after two seconds is empty and harmless. */
async function removeSoon(directory: string): Promise<void> {
  for (let attempt = 0; attempt < 100 && !removeNow(directory); attempt++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function limitFailed(cause: unknown): TsbuildError {
  if (cause instanceof TsbuildError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  const denied = ['EACCES', 'EPERM', 'EROFS'].includes(systemErrorCode(cause) ?? '');
  return new TsbuildError({
    code: 'sandbox-limit-failed',
    message: `a limit of the step cannot be set: ${reason}`,
    hint: denied
      ? 'run tsbuild in a delegated control group: systemd-run --user --scope -p Delegate=yes tsbuild ...'
      : 'check the value of the limit',
    cause,
  });
}
