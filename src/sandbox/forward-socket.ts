/**
 * Sockets of the host for a step: a socket of our own, with the owner and mode the mount asks for, whose connections
 * are passed on. The host's socket keeps its permissions, and its server (an SSH agent checks) sees tsbuild's user.
 * Invariant: after `close` no connection and no file is left.
 */
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TsbuildError } from '../core/index.ts';
import type { StepMount } from './types.ts';

type SocketMount = Extract<StepMount, { kind: 'socket' }>;

export interface ForwardedSocket {
  readonly path: string;
  close(): Promise<void>;
}

/** @throws TsbuildError `sandbox-mount-failed` when the owner cannot be set */
export async function forwardSocket(mount: SocketMount): Promise<ForwardedSocket> {
  const folder = mkdtempSync(join(tmpdir(), 'tsbuild-socket-'));
  const path = join(folder, 'socket');
  const open = new Set<Socket>();
  const server = createServer((inside) => {
    const outside = connect(mount.source);
    for (const [one, other] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        open.delete(one);
        other.end();
      });
      one.pipe(other);
    }
  });
  const close = async () => {
    for (const socket of open) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    rmSync(folder, { recursive: true, force: true });
  };
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  try {
    chmodSync(path, mount.mode);
    chownSync(path, mount.uid, mount.gid);
  } catch (cause) {
    await close();
    throw new TsbuildError({
      code: 'sandbox-mount-failed',
      message: `the socket ${mount.target} cannot be given to user ${mount.uid} and group ${mount.gid}`,
      hint: 'use IDs that are mapped in this user namespace',
      cause,
    });
  }
  return { path, close };
}

/** The mounts of a step with every socket replaced by one that is forwarded. */
export async function forwardSockets(
  mounts: readonly StepMount[],
): Promise<{ readonly mounts: readonly StepMount[]; close(): Promise<void> }> {
  const forwarded: ForwardedSocket[] = [];
  const close = async () => {
    await Promise.all(forwarded.map((socket) => socket.close()));
  };
  try {
    const replaced: StepMount[] = [];
    for (const mount of mounts) {
      if (mount.kind !== 'socket') replaced.push(mount);
      else {
        const socket = await forwardSocket(mount);
        forwarded.push(socket);
        replaced.push({ ...mount, source: socket.path });
      }
    }
    return { mounts: replaced, close };
  } catch (error) {
    await close();
    throw error;
  }
}
