/**
 * Limits on memory, processors and processes, through control groups of version 1, version 2, or both at once.
 * Invariant: a step without such a limit touches no control group; a group that was made is removed after its step, or, when
 * tsbuild was killed during it, by the next one that makes one there.
 */
import { dirname, join, resolve } from 'node:path';
import { systemErrorCode, TsbuildError } from '../core/index.ts';
import { type ControlGroupFiles, machineControlGroups } from './control-group-files.ts';
import { type Controller, type Setting, type Settings, settingsOf } from './control-group-settings.ts';
import type { StepLimits } from './types.ts';

export interface ControlGroup {
  /** Files the step's first process ID is written to. */
  readonly joinFiles: readonly string[];
  /** Whether the kernel killed for want of memory: at the limit of this group, or at one of a group above. */
  outOfMemory(): 'no' | 'here' | 'above';
  /** Removes it; its processes are gone by then, but the kernel may take a moment. */
  remove(): Promise<void>;
}

/** One directory of one hierarchy. */
interface Place {
  readonly version: 1 | 2;
  readonly directory: string;
}

/** A name for a group that no other step of this machine has. @param step of this process */
export function controlGroupName(step: number): string {
  return `tsbuild-${process.pid}-${Date.now().toString(36)}-${step}`;
}

/** @throws TsbuildError `sandbox-limit-failed` */
export function makeControlGroup(
  limits: StepLimits,
  name: string,
  given?: ControlGroupFiles,
): ControlGroup | undefined {
  const wanted = settingsOf(limits);
  if (wanted.length === 0) return undefined;
  // Only now: most steps have no limit, and asking the machine costs each of them.
  const files = given ?? machineControlGroups();
  const made: string[] = [];
  const joinFiles = new Set<string>();
  let memory: Place | undefined;
  try {
    for (const { controller, v1, v2 } of wanted) {
      const parent = parentOf(files, controller, limits.cgroupParent);
      const directory = join(parent.directory, name);
      if (!made.includes(directory)) {
        removeAbandoned(files, parent.directory);
        files.make(directory);
        made.push(directory);
      }
      if (controller === 'cpuset' && parent.version === 1) inheritProcessors(files, parent.mountPoint, directory);
      for (const setting of parent.version === 1 ? v1 : v2) apply(files, directory, setting);
      if (controller === 'memory') memory = { version: parent.version, directory };
      joinFiles.add(join(directory, 'cgroup.procs'));
    }
  } catch (error) {
    for (const directory of made) removeNow(files, directory);
    throw limitFailed(error, files, wanted);
  }
  return {
    joinFiles: [...joinFiles],
    outOfMemory: () => (memory === undefined ? 'no' : outOfMemory(files, memory)),
    remove: async () => {
      for (const directory of made) await removeSoon(files, directory);
    },
  };
}

/** Milliseconds. */
const youngestAbandoned = 60_000;

/** Where groups for a controller are made: below this process's own, or below `--cgroup-parent`. */
function parentOf(
  files: ControlGroupFiles,
  controller: Controller,
  cgroupParent: string | undefined,
): Place & { readonly mountPoint: string } {
  const v1 = version1(files, controller);
  if (v1) {
    const directory = below(v1.mountPoint, cgroupParent ?? ownPath(files, v1, controller));
    return { version: 1, directory, mountPoint: v1.mountPoint };
  }
  const v2 = hierarchy(files, (line) => line.type === 'cgroup2');
  if (!v2) {
    throw new TsbuildError({
      code: 'sandbox-limit-failed',
      message: `this machine has no control group for ${controller}`,
      hint: 'leave the limit out, or mount the control groups at /sys/fs/cgroup',
    });
  }
  const parent = below(v2.mountPoint, cgroupParent ?? unifiedParent(files, v2));
  files.make(parent);
  try {
    enable(files, v2.mountPoint, parent, controller);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT' && !(isDenied(error) && files.writable(parent))) throw error;
    throw notHandedDown(controller, parent, error);
  }
  return { version: 2, directory: parent, mountPoint: v2.mountPoint };
}

function version1(files: ControlGroupFiles, controller: Controller): Hierarchy | undefined {
  return hierarchy(files, (line) => line.type === 'cgroup' && line.options.includes(controller));
}

/**
 * Groups are made at the top, beside those of other engines, where that is permitted; else beside the group of this
 * process, where whoever delegated it owns that place, too, as systemd does for users; else below it.
 */
function unifiedParent(files: ControlGroupFiles, v2: Hierarchy): string {
  if (files.machineRoot) return '/';
  const own = ownPath(files, v2, '');
  return files.writable(below(v2.mountPoint, dirname(own))) ? dirname(own) : own;
}

/** Makes a controller available to the children of a group, from the top down. */
function enable(files: ControlGroupFiles, mountPoint: string, directory: string, controller: Controller): void {
  if (directory !== mountPoint && directory.startsWith(mountPoint)) {
    enable(files, mountPoint, dirname(directory), controller);
  }
  const file = join(directory, 'cgroup.subtree_control');
  if (files.read(file).split(/\s+/).includes(controller)) return;
  try {
    files.write(file, `+${controller}`);
  } catch (error) {
    if (systemErrorCode(error) !== 'EBUSY') throw error;
    makeRoom(files, directory);
    files.write(file, `+${controller}`);
  }
}

/**
 * A group with members cannot have controllers for its children (cgroups(7), "no internal processes"): in a container, or
 * in a group that was delegated to us alone, they move to a child of it, for good.
 */
function makeRoom(files: ControlGroupFiles, directory: string): void {
  const child = join(directory, 'tsbuild-members');
  files.make(child);
  for (const pid of files.read(join(directory, 'cgroup.procs')).split('\n')) {
    if (pid !== '') files.write(join(child, 'cgroup.procs'), pid);
  }
}

/** Never above the hierarchy's top, and without a slash at the end. */
function below(mountPoint: string, path: string): string {
  return resolve(mountPoint, `.${join('/', path)}`);
}

/** This process's group for a version 1 controller, as seen through the mount; '' asks for version 2. */
function ownPath(files: ControlGroupFiles, { root }: Hierarchy, controller: string): string {
  for (const line of files.read('/proc/self/cgroup').split('\n')) {
    const [, controllers = '', ...rest] = line.split(':');
    if (!controllers.split(',').includes(controller)) continue;
    const path = rest.join(':');
    return root !== '/' && `${path}/`.startsWith(`${root}/`) ? path.slice(root.length) || '/' : path;
  }
  return '/';
}

interface MountLine {
  readonly type: string;
  readonly options: readonly string[];
}

interface Hierarchy {
  readonly mountPoint: string;
  /** The group that is mounted there: not the top of all in a container of version 1. */
  readonly root: string;
}

/** The first mount that fits (proc_pid_mountinfo(5)). */
function hierarchy(files: ControlGroupFiles, fits: (line: MountLine) => boolean): Hierarchy | undefined {
  for (const line of files.read('/proc/self/mountinfo').split('\n')) {
    const [front = '', back = ''] = line.split(' - ');
    const [type = '', , options = ''] = back.split(' ');
    const [, , , root, mountPoint] = front.split(' ');
    if (root !== undefined && mountPoint !== undefined && fits({ type, options: options.split(',') })) {
      return { mountPoint, root };
    }
  }
  return undefined;
}

/** Version 1 takes no process into a group without processors and memory nodes, and inherits none. */
function inheritProcessors(files: ControlGroupFiles, mountPoint: string, directory: string): void {
  if (directory === mountPoint) return;
  inheritProcessors(files, mountPoint, dirname(directory));
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    if (files.read(join(directory, name)).trim() === '') {
      files.write(join(directory, name), files.read(join(dirname(directory), name)).trim());
    }
  }
}

function apply(files: ControlGroupFiles, directory: string, { file, value, optional = false }: Setting): void {
  const path = join(directory, file);
  if (!optional || files.exists(path)) files.write(path, value);
}

function outOfMemory(files: ControlGroupFiles, { version, directory }: Place): 'no' | 'here' | 'above' {
  const text = (name: string) => files.read(join(directory, name));
  const isKilled = /^oom_kill [1-9]/m.test(text(version === 1 ? 'memory.oom_control' : 'memory.events'));
  if (!isKilled) return 'no';
  if (version === 2) return /^max [1-9]/m.test(text('memory.events')) ? 'here' : 'above';
  // Not failcnt: recent kernels leave it at 0. The last charge fails a few pages before the limit.
  const number = (name: string) => Number(text(name).trim() || Number.NaN);
  const isReached = ['memory', 'memory.memsw'].some(
    (kind) => number(`${kind}.max_usage_in_bytes`) >= number(`${kind}.limit_in_bytes`) * 0.98,
  );
  return isReached ? 'here' : 'above';
}

/**
 * What a tsbuild that was killed left behind. A group with members is not removed; one that was made a moment ago has none
 * yet, and a process that is not seen from here may have made it.
 */
function removeAbandoned(files: ControlGroupFiles, parent: string): void {
  for (const name of files.children(parent)) {
    const [, pid, made = ''] = /^tsbuild-(\d+)-([0-9a-z]+)-\d+$/.exec(name) ?? [];
    if (pid === undefined || files.exists(`/proc/${pid}`)) continue;
    if (Date.now() - Number.parseInt(made, 36) > youngestAbandoned) removeNow(files, join(parent, name));
  }
}

function removeNow(files: ControlGroupFiles, directory: string): boolean {
  try {
    files.remove(directory);
    return true;
  } catch (error) {
    return systemErrorCode(error) === 'ENOENT';
  }
}

/** EBUSY lasts until the last process is wholly gone; what stays after two seconds is empty and harmless. */
async function removeSoon(files: ControlGroupFiles, directory: string): Promise<void> {
  for (let attempt = 0; attempt < 100 && !removeNow(files, directory); attempt++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Groups may be made in the parent, but those above it keep the controller to themselves. */
function notHandedDown(controller: Controller, parent: string, cause: unknown): TsbuildError {
  const file = '/etc/systemd/system/user@.service.d/delegate.conf';
  const text = '[Service]\\nDelegate=cpu cpuset io memory pids\\n';
  return new TsbuildError({
    code: 'sandbox-limit-failed',
    message: `the control group ${parent} has no controller ${controller}: the groups above do not hand it down`,
    hint: `run as root: mkdir -p ${dirname(file)} && printf '${text}' > ${file} && systemctl daemon-reload; then log in again`,
    cause,
  });
}

function isDenied(error: unknown): boolean {
  return ['EACCES', 'EPERM', 'EROFS'].includes(systemErrorCode(error) ?? '');
}

function limitFailed(cause: unknown, files: ControlGroupFiles, wanted: readonly Settings[]): TsbuildError {
  if (cause instanceof TsbuildError) return cause;
  const denied = isDenied(cause);
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new TsbuildError({
    code: 'sandbox-limit-failed',
    message: denied
      ? `this user may not make the control group of a step: ${reason}`
      : `a limit of the step cannot be set: ${reason}`,
    hint: denied ? remedy(files, wanted) : 'check the value of the limit',
    cause,
  });
}

/** What makes control groups this user's to use. */
function remedy(files: ControlGroupFiles, wanted: readonly Settings[]): string {
  if (files.machineRoot) {
    return 'let tsbuild write to /sys/fs/cgroup: in a container, mount it with -v /sys/fs/cgroup:/sys/fs/cgroup:rw --cgroupns=host';
  }
  const parents = wanted.flatMap(({ controller }) => version1(files, controller)?.mountPoint ?? []);
  if (parents.length === 0) {
    return 'run tsbuild in a delegated control group: systemd-run --user --scope -p Delegate=yes tsbuild ...';
  }
  const name = `user-${files.user}`;
  const groups = [...new Set(parents)].map((parent) => join(parent, name)).join(' ');
  return `run as root: mkdir -p ${groups} && chown -R ${files.user} ${groups}; then add --cgroup-parent ${name}`;
}
