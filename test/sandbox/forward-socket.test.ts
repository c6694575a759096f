import { existsSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { forwardSocket } from '../../src/sandbox/forward-socket.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

test('a forwarded socket passes bytes both ways, has its own mode, and is gone after close', async () => {
  await using folder = temporaryFolder('socket');
  const source = folder.join('agent');
  const server = createServer((socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => server.listen(source, resolve));
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  const forwarded = await forwardSocket({ kind: 'socket', source, target: '/agent', mode: 0o640, uid, gid });
  try {
    expect(statSync(forwarded.path).mode & 0o777).toBe(0o640);
    const answer = await new Promise<string>((resolve, reject) => {
      const client = connect(forwarded.path);
      let text = '';
      client.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        if (text === 'ping') client.end();
      });
      client.on('close', () => resolve(text));
      client.on('error', reject);
      client.write('ping');
    });
    expect(answer).toBe('ping');
  } finally {
    await forwarded.close();
    await new Promise((resolve) => server.close(resolve));
  }
  expect(existsSync(forwarded.path)).toBe(false);
});
