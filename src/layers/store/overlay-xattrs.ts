/** Under which names overlayfs keeps opaque marks: `trusted.overlay.*`, or `user.overlay.*` where only that is allowed. */
import { readFileSync } from 'node:fs';
import { systemErrorCode } from '../../core/index.ts';

export type XattrPrefix = 'trusted.' | 'user.';

const capSysAdmin = 1n << 21n;

/** `trusted.` needs CAP_SYS_ADMIN in the first user namespace (xattr(7)); everyone else mounts with `userxattr`. */
export function xattrPrefixOfThisProcess(): XattrPrefix {
  try {
    const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
    const wholeIdRange = /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'latin1'));
    return wholeIdRange && (BigInt(`0x${effective}`) & capSysAdmin) !== 0n ? 'trusted.' : 'user.';
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return 'user.';
  }
}
