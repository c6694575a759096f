/**
 * Who may do what with a served registry. Two rules, chosen when it starts: named users, or, without names, everyone reads
 * and only the processes of the registry's own user (and root) write.
 * Invariant: nobody writes into a store because they can reach a port.
 */
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { isIPv4, type Socket } from 'node:net';
import { endianness } from 'node:os';
import { isLoopback } from '../http/proxy.ts';
import type { Users } from './users.ts';

export type Verdict =
  | { readonly kind: 'granted' }
  /** No name and password, or wrong ones. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'denied'; readonly because: string };

/** @param writes whether the request changes anything */
export type Access = (request: IncomingMessage, writes: boolean) => Promise<Verdict>;

const granted: Verdict = { kind: 'granted' };

/** Whoever reaches it may do everything. */
export const anyone: Access = async () => granted;

/** Only these users, for reading as for writing. */
export function onlyUsers(users: Users): Access {
  return async ({ headers }) => {
    const encoded = /^basic +([\w+/=-]+)$/i.exec(headers.authorization ?? '')?.[1];
    if (encoded === undefined) return { kind: 'unknown' };
    const [, name = '', password = ''] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString('utf8')) ?? [];
    return (await users.matches(name, password)) ? granted : { kind: 'unknown' };
  };
}

/**
 * Everyone reads; writers must be processes of this machine, of one of these users. Other users of a machine reach its
 * loopback addresses too, and what they push would be run by whoever pulls it.
 */
export function onlyOwnersWrite(owners: readonly number[]): Access {
  const known = new WeakMap<Socket, Promise<number | undefined>>();
  return async ({ socket }, writes) => {
    if (!writes) return granted;
    const owner = known.get(socket) ?? ownerOfPeer(socket);
    known.set(socket, owner);
    const user = await owner;
    if (user !== undefined && owners.includes(user)) return granted;
    return {
      kind: 'denied',
      because:
        user === undefined
          ? 'only processes of this machine may push here; serve it with --users to let others'
          : `user ${user} of this machine may not push here; serve it with --users to let others`,
    };
  };
}

/** The user whose process holds the other end of a loopback connection (proc(5), /proc/net/tcp). */
async function ownerOfPeer(socket: Socket): Promise<number | undefined> {
  const { remoteAddress, remotePort, localAddress, localPort } = socket;
  if (remoteAddress === undefined || !isLoopback(remoteAddress)) return undefined;
  const [peer, self] = [tableEntry(remoteAddress, remotePort), tableEntry(localAddress ?? '', localPort)];
  for (const table of ['/proc/self/net/tcp', '/proc/self/net/tcp6']) {
    const text = await readFile(table, 'ascii').catch(() => '');
    for (const line of text.split('\n').slice(1)) {
      const [, local = '', remote = '', state, , , , user, , inode] = line.trim().split(/\s+/);
      // Only of an open socket does the kernel know the user: what was closed counts as root's.
      if (state !== established || inode === '0') continue;
      if (sameEnd(local, peer) && sameEnd(remote, self)) return Number(user);
    }
  }
  return undefined;
}

const established = '01';

/** An address and a port as the tables write them: words of four bytes in the order of the machine, in hexadecimal. */
function tableEntry(address: string, port = 0): string {
  const plain = address.replace(/^::ffff:/, '');
  const bytes = isIPv4(plain) ? plain.split('.').map(Number) : [0, 0, 0, 1];
  const word = endianness() === 'LE' ? [...bytes].reverse() : bytes;
  const hex = word.map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const end = port.toString(16).padStart(4, '0');
  return `${isIPv4(plain) ? '' : '0'.repeat(24)}${hex}:${end}`.toUpperCase();
}

/** An IPv4 address may stand in the table of IPv6 as well, mapped. */
function sameEnd(found: string, wanted: string): boolean {
  return found === wanted || (wanted.length === 13 && found === `${mappedPrefix}${wanted}`);
}

const mappedPrefix = `0000000000000000${endianness() === 'LE' ? 'FFFF0000' : '0000FFFF'}`;
