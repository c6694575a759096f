/**
 * What this machine and this process allow, read from procfs: the cheap part of a probe.
 * Invariant: reading never fails; what cannot be read is reported as absent.
 */
import { accessSync, constants, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';

export interface HostFacts {
  /** Effective user ID of this process, as its own user namespace counts. */
  readonly uid: number;
  readonly userName: string | undefined;
  /** False in a user namespace other than the machine's first. */
  readonly initialUserNamespace: boolean;
  /** The namespace maps one ID only. */
  readonly singleId: boolean;
  readonly capabilities: { readonly sysAdmin: boolean; readonly sysChroot: boolean; readonly mknod: boolean };
}

/** The kernel gives the first user namespace this inode always (PROC_USER_INIT_INO); an identity map proves nothing. */
const initialUserNamespace = 'user:[4026531837]';

const capability = { sysChroot: 18n, sysAdmin: 21n, mknod: 27n };

export function hostFacts(): HostFacts {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(readText('/proc/self/status'))?.[1] ?? '0'}`);
  const map = readText('/proc/self/uid_map').trim().split(/\s+/).map(Number);
  return {
    uid: process.geteuid?.() ?? -1,
    userName: userName(),
    initialUserNamespace: linkText('/proc/self/ns/user') === initialUserNamespace,
    singleId: map.length === 3 && map[2] === 1,
    capabilities: {
      sysAdmin: (effective & (1n << capability.sysAdmin)) !== 0n,
      sysChroot: (effective & (1n << capability.sysChroot)) !== 0n,
      mknod: (effective & (1n << capability.mknod)) !== 0n,
    },
  };
}

/** '' when it cannot be read. */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** None when it cannot be read. */
export function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function linkText(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/** The first of some absolute paths that is an executable file. */
export function firstExecutable(paths: readonly string[]): string | undefined {
  return paths.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    } catch {
      return false;
    }
  });
}

/** Whether the setuid bit is set; a file capability, which does as well, is not seen. */
export function isSetuid(path: string): boolean {
  try {
    return (statSync(path).mode & 0o4000) !== 0;
  } catch {
    return false;
  }
}

function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined;
  }
}
