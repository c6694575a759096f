/**
 * Starts the reference registry (Debian's docker-registry) on a free port of 127.0.0.1 with a folder of its own.
 * Disposal stops the process and removes the folder.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Authority, createAuthority } from './certificates.ts';
import { startTokenServer, type TokenServer, type TokenServerOptions } from './token-server.ts';

export interface RegistryOptions {
  /** Default none. Users of htpasswd and token: `alice` with the password `wonder land`. */
  readonly auth?: 'none' | 'htpasswd' | 'token';
  /** `server`: https with a certificate of a private authority. `mutual`: it also wants a client certificate. */
  readonly tls?: 'server' | 'mutual';
  /** `readonly`: the registry refuses writes. Default: it takes them, and deletes. */
  readonly storage?: 'writable' | 'readonly';
  readonly token?: TokenServerOptions;
  /** A folder that outlives this registry, to start another one over the same content. */
  readonly folder?: string;
}

export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly host: string;
  readonly url: string;
  readonly folder: string;
  readonly authority: Authority | undefined;
  readonly tokens: TokenServer | undefined;
  /** What the registry wrote to its log so far. */
  readonly log: () => string;
}

export const alice = { username: 'alice', password: 'wonder land' } as const;

export async function startRegistry(options: RegistryOptions = {}): Promise<TestRegistry> {
  const folder = mkdtempSync(join(tmpdir(), 'tsbuild-registry-'));
  const tokens = options.auth === 'token' ? await startTokenServer(folder, options.token ?? {}) : undefined;
  try {
    const authority = options.tls ? createAuthority(folder) : undefined;
    // The registry cannot be told to choose a port; between our choice and its bind another process may take it.
    for (let attempt = 1; ; attempt += 1) {
      const port = await freePort();
      const configuration = configurationFor({ options, folder, port, tokens, authority });
      const file = join(folder, 'config.yml');
      writeFileSync(file, configuration);
      const running = await launch(file, `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`);
      if (running.kind === 'failed' && attempt >= 5) throw new Error(`docker-registry did not start: ${running.log}`);
      if (running.kind === 'failed') continue;
      return {
        host: `127.0.0.1:${port}`,
        url: `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`,
        folder,
        authority,
        tokens,
        log: running.log,
        async [Symbol.asyncDispose]() {
          await stop(running.child);
          await tokens?.[Symbol.asyncDispose]();
          rmSync(folder, { recursive: true, force: true });
        },
      };
    }
  } catch (error) {
    await tokens?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

interface Setting {
  readonly options: RegistryOptions;
  readonly folder: string;
  readonly port: number;
  readonly tokens: TokenServer | undefined;
  readonly authority: Authority | undefined;
}

/** JSON is YAML. */
function configurationFor({ options, folder, port, tokens, authority }: Setting): string {
  const storage = options.folder ?? join(folder, 'storage');
  mkdirSync(storage, { recursive: true });
  const htpasswd = join(folder, 'htpasswd');
  if (options.auth === 'htpasswd') {
    const line = execFileSync('htpasswd', ['-Bbn', alice.username, alice.password]);
    writeFileSync(htpasswd, line);
    chmodSync(htpasswd, 0o600);
  }
  const server = authority?.issue('127.0.0.1');
  return JSON.stringify({
    version: '0.1',
    log: { level: 'warn', accesslog: { disabled: true } },
    storage: {
      filesystem: { rootdirectory: storage },
      delete: { enabled: true },
      maintenance: { readonly: { enabled: options.storage === 'readonly' }, uploadpurging: { enabled: false } },
    },
    http: {
      addr: `127.0.0.1:${port}`,
      ...(server && {
        tls: {
          certificate: server.certificateFile,
          key: server.keyFile,
          ...(options.tls === 'mutual' && { clientcas: [authority?.certificateFile] }),
        },
      }),
    },
    ...(options.auth === 'htpasswd' && { auth: { htpasswd: { realm: 'test', path: htpasswd } } }),
    ...(tokens && {
      auth: {
        token: {
          realm: `${tokens.url}/token`,
          service: tokens.service,
          issuer: tokens.issuer,
          rootcertbundle: tokens.certificateFile,
        },
      },
    }),
  });
}

type Launched =
  | { readonly kind: 'running'; readonly child: ChildProcess; readonly log: () => string }
  | { readonly kind: 'failed'; readonly log: string };

async function launch(configuration: string, url: string): Promise<Launched> {
  let log = '';
  const child = spawn('docker-registry', ['serve', configuration], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, OTEL_TRACES_EXPORTER: 'none' },
  });
  let exited = false;
  child.on('exit', () => {
    exited = true;
  });
  child.on('error', (error) => {
    log += error.message;
    exited = true;
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-100_000);
    });
  }
  for (let i = 0; i < 400 && !exited; i += 1) {
    if (await accepts(new URL(url))) return { kind: 'running', child, log: () => log };
    await sleep(25);
  }
  await stop(child);
  return { kind: 'failed', log };
}

/** Stops a child process and waits until it is gone. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

/** A port nobody listened on a moment ago: only for programs that cannot choose one themselves. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function accepts(url: URL): Promise<boolean> {
  const { connect } = await import('node:net');
  return new Promise((resolve) => {
    const socket = connect(Number(url.port), url.hostname);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
