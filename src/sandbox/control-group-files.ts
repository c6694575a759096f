/**
 * The files of control groups and of procfs that say where they are: a port, because what a machine has of version 1 and
 * of version 2 is decided when it starts.
 */
import { accessSync, constants, existsSync, rmdirSync, writeFileSync } from 'node:fs';
import { makeDirectories } from '../core/index.ts';
import { hostFacts, namesIn, readText } from './host-facts.ts';

export interface ControlGroupFiles {
  /** Whether this process is the machine's own root. */
  readonly machineRoot: boolean;
  /** Numeric ID of the user who started tsbuild, outside of the user namespace it may be in. */
  readonly user: number;
  /** '' when it cannot be read. */
  read(path: string): string;
  exists(path: string): boolean;
  /** Names of the groups in a group, and of its files. */
  children(directory: string): readonly string[];
  /** Whether this process may make a group in it. */
  writable(directory: string): boolean;
  /** @throws Error of the kernel */
  write(path: string, value: string): void;
  /** With its parents. @throws Error of the kernel */
  make(directory: string): void;
  /** @throws Error of the kernel: EBUSY while there are members */
  remove(directory: string): void;
}

export function machineControlGroups(): ControlGroupFiles {
  const { uid, initialUserNamespace } = hostFacts();
  return {
    machineRoot: uid === 0 && initialUserNamespace,
    // What root inside is outside stands in the first line of the map.
    user: initialUserNamespace ? uid : Number(readText('/proc/self/uid_map').trim().split(/\s+/)[1]),
    read: readText,
    exists: existsSync,
    children: namesIn,
    writable(directory) {
      try {
        accessSync(directory, constants.W_OK);
        return true;
      } catch {
        return false;
      }
    },
    write: (path, value) => writeFileSync(path, value),
    make: (directory) => void makeDirectories(directory),
    remove: (directory) => rmdirSync(directory),
  };
}
