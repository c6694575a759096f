/** nginx on a free port of 127.0.0.1, with the server block of a test; stopped and removed on disposal. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, stop } from './registry.ts';

export interface Nginx extends AsyncDisposable {
  readonly host: string;
}

/** @param http goes into the http block, @param server into the server block */
export async function startNginx(server: string, http = ''): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), 'tsbuild-nginx-'));
  const port = await freePort();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const configuration = join(folder, 'nginx.conf');
  writeFileSync(
    configuration,
    `daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
     events {}
     http {
       access_log off; ${temporary.join(' ')} ${http}
       server { listen 127.0.0.1:${port}; ${server} }
     }`,
  );
  const child = spawn('nginx', ['-c', configuration, '-e', join(folder, 'error.log')], { stdio: 'ignore' });
  const nginx: Nginx = {
    host: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      await stop(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  for (let i = 0; i < 400; i += 1) {
    if (child.exitCode !== null) break;
    if (await accepts(port)) return nginx;
    await sleep(25);
  }
  await nginx[Symbol.asyncDispose]();
  throw new Error('nginx did not start');
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
