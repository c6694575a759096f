/** Under which names overlayfs keeps opaque marks: `trusted.overlay.*`, or `user.overlay.*` where only that is allowed. */
import { readFileSync, readlinkSync } from 'node:fs';
import { systemErrorCode } from '../../core/index.ts';

export type XattrPrefix = 'trusted.' | 'user.';

const capSysAdmin = 1n << 21n;

/** The kernel gives the first user namespace this inode always (PROC_USER_INIT_INO); a map of all IDs proves nothing. */
const firstUserNamespace = 'user:[4026531837]';

/** `trusted.` needs CAP_SYS_ADMIN in the first user namespace (xattr(7)); everyone else mounts with `userxattr`. */
export function xattrPrefixOfThisProcess(): XattrPrefix {
  try {
    const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
    const first = readlinkSync('/proc/self/ns/user') === firstUserNamespace;
    return first && (BigInt(`0x${effective}`) & capSysAdmin) !== 0n ? 'trusted.' : 'user.';
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return 'user.';
  }
}
