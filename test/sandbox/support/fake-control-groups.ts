/**
 * Control groups in memory, with the rules of the kernel that matter to who makes groups (cgroups(7)): in version 2 a
 * controller is there only where the parent enables it, and no group has both members and controllers for children.
 */
import { basename, dirname, join } from 'node:path';
import type { ControlGroupFiles } from '../../../src/sandbox/control-group-files.ts';

export interface FakeMachine {
  readonly mountinfo: string;
  /** /proc/self/cgroup */
  readonly own: string;
  readonly machineRoot: boolean;
  /** Groups of version 2 that exist, with their members. */
  readonly groups?: Readonly<Record<string, readonly string[]>>;
  /** Controllers of version 2 that nothing hands down. */
  readonly without?: readonly string[];
  /** What this process may write below; default everything. */
  readonly mayWrite?: readonly string[];
}

export interface FakeControlGroups extends ControlGroupFiles {
  /** Every write, in order, as `path=value`. */
  readonly written: readonly string[];
  readonly removed: readonly string[];
  /** What a file of the kernel says from now on. */
  say(path: string, text: string): void;
}

const unified = /^\/sys\/fs\/cgroup(\/unified)?(?=\/|$)/;

export function fakeControlGroups(machine: FakeMachine): FakeControlGroups {
  const files = new Map([
    ['/proc/self/mountinfo', machine.mountinfo],
    ['/proc/self/cgroup', machine.own],
  ]);
  const directories = new Set<string>();
  const written: string[] = [];
  const removed: string[] = [];
  const isUnified = (path: string) => machine.mountinfo.includes('cgroup2') && unified.test(path) && !isVersion1(path);
  const isVersion1 = (path: string) => /^\/sys\/fs\/cgroup\/(memory|cpu|cpuset|pids)(\/|$)/.test(path);
  const refuse = (code: string, path: string) => Object.assign(new Error(`${code}: ${path}`), { code });
  const check = (path: string) => {
    if (!machine.mayWrite || machine.mayWrite.some((root) => path === root || path.startsWith(`${root}/`))) return;
    throw refuse('EACCES', path);
  };
  const make = (directory: string) => {
    if (directories.has(directory) || directory === '/' || directory === '/sys/fs/cgroup') return;
    make(dirname(directory));
    check(dirname(directory));
    directories.add(directory);
  };
  for (const [group, members] of Object.entries(machine.groups ?? {})) {
    for (let at = group; at.length > 1; at = dirname(at)) directories.add(at);
    files.set(join(group, 'cgroup.procs'), members.map((pid) => `${pid}\n`).join(''));
  }
  return {
    machineRoot: machine.machineRoot,
    user: machine.machineRoot ? 0 : 1000,
    written,
    removed,
    say: (path, text) => void files.set(path, text),
    read: (path) => files.get(path) ?? '',
    exists: (path) => files.has(path) || directories.has(dirname(path)),
    children: (directory) => [...directories].filter((at) => dirname(at) === directory).map((at) => basename(at)),
    writable(directory) {
      try {
        check(directory);
        return directories.has(directory);
      } catch {
        return false;
      }
    },
    make,
    write(path, value) {
      check(path);
      const [directory, name] = [dirname(path), path.slice(path.lastIndexOf('/') + 1)];
      if (!directories.has(directory) && directory !== '/sys/fs/cgroup') throw refuse('ENOENT', path);
      if (isUnified(path)) {
        const [, controller] = /^(memory|cpu|cpuset|pids)\./.exec(name) ?? [];
        const enabled = (files.get(join(dirname(directory), 'cgroup.subtree_control')) ?? '').split(' ');
        if (controller !== undefined && !enabled.includes(controller)) throw refuse('ENOENT', path);
        if (name === 'cgroup.subtree_control') {
          if (machine.without?.includes(value.slice(1))) throw refuse('ENOENT', path);
          if (/\d/.test(files.get(join(directory, 'cgroup.procs')) ?? '')) throw refuse('EBUSY', path);
          files.set(path, `${files.get(path) ?? ''} ${value.slice(1)}`.trim());
        } else if (name === 'cgroup.procs') {
          for (const [other, text] of files)
            if (other.endsWith('cgroup.procs')) files.set(other, text.replace(new RegExp(`^${value}\\n`, 'm'), ''));
          files.set(path, `${files.get(path) ?? ''}${value}\n`);
        }
      }
      written.push(`${path}=${value}`);
    },
    remove(directory) {
      if (!directories.delete(directory)) throw refuse('ENOENT', directory);
      removed.push(directory);
    },
  };
}
