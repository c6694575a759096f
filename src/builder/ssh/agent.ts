/**
 * An SSH agent over key files (draft-ietf-sshm-ssh-agent): it lists its keys and signs with them, and does nothing else.
 * Invariant: no private key leaves the process, and after `close` there is no socket.
 */
import { constants, sign } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SshKey } from './key-file.ts';
import { WireReader, wireBytes, wireInteger, wireNumber } from './wire.ts';

export interface SshAgent extends AsyncDisposable {
  /** Path of its socket. */
  readonly path: string;
}

const message = { failure: 5, requestIdentities: 11, identities: 12, signRequest: 13, signature: 14 } as const;
const rsaFlags = { sha256: 2, sha512: 4 } as const;

/** Bytes; as OpenSSH's. */
const largestRequest = 256 * 1024;

const curveHashes: Readonly<Record<string, string>> = {
  'ecdsa-sha2-nistp256': 'sha256',
  'ecdsa-sha2-nistp384': 'sha384',
  'ecdsa-sha2-nistp521': 'sha512',
};

export async function startAgent(keys: readonly SshKey[]): Promise<SshAgent> {
  const folder = mkdtempSync(join(tmpdir(), 'tsbuild-agent-'));
  const path = join(folder, 'socket');
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => socket.destroy());
    serve(socket, keys);
  });
  const close = async () => {
    for (const socket of open) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    chmodSync(path, 0o600);
  } catch (error) {
    await close();
    throw error;
  }
  server.unref();
  return { path, [Symbol.asyncDispose]: close };
}

/** Requests come one after the other, each with its length in front. */
function serve(socket: Socket, keys: readonly SshKey[]): void {
  let pending = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 4) {
      const size = pending.readUInt32BE();
      if (size > largestRequest) return void socket.destroy();
      if (pending.length < 4 + size) return;
      socket.write(wireBytes(answer(pending.subarray(4, 4 + size), keys)));
      pending = pending.subarray(4 + size);
    }
  });
}

function answer(request: Buffer, keys: readonly SshKey[]): Buffer {
  try {
    const reader = new WireReader(request);
    switch (reader.byte()) {
      case message.requestIdentities:
        return identities(keys);
      case message.signRequest:
        return signature(reader, keys);
    }
  } catch {
    // What cannot be read is answered like what cannot be done.
  }
  return Buffer.from([message.failure]);
}

function identities(keys: readonly SshKey[]): Buffer {
  const list = keys.flatMap(({ publicBlob, comment }) => [wireBytes(publicBlob), wireBytes(comment)]);
  return Buffer.concat([Buffer.from([message.identities]), wireNumber(keys.length), ...list]);
}

function signature(reader: WireReader, keys: readonly SshKey[]): Buffer {
  const blob = reader.bytes();
  const data = reader.bytes();
  const flags = reader.number();
  const found = keys.find(({ publicBlob }) => publicBlob.equals(blob));
  if (!found) return Buffer.from([message.failure]);
  return Buffer.concat([Buffer.from([message.signature]), wireBytes(signed(found, data, flags))]);
}

/** The name of the algorithm and what it makes (RFC 4253, 5656, 8332, 8709). */
function signed({ key, type }: SshKey, data: Buffer, flags: number): Buffer {
  const named = (name: string, value: Buffer) => Buffer.concat([wireBytes(name), wireBytes(value)]);
  if (type === 'ssh-ed25519') return named(type, sign(null, data, key));
  const hash = curveHashes[type];
  if (hash !== undefined) {
    const both = sign(hash, data, { key, dsaEncoding: 'ieee-p1363' });
    const half = both.length / 2;
    return named(type, Buffer.concat([wireInteger(both.subarray(0, half)), wireInteger(both.subarray(half))]));
  }
  const padding = constants.RSA_PKCS1_PADDING;
  if (flags & rsaFlags.sha512) return named('rsa-sha2-512', sign('sha512', data, { key, padding }));
  if (flags & rsaFlags.sha256) return named('rsa-sha2-256', sign('sha256', data, { key, padding }));
  return named('ssh-rsa', sign('sha1', data, { key, padding }));
}
