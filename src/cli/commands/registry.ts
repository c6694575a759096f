/** `tsbuild registry serve`: the local store, or a directory, as a registry. */
import { readFile, stat } from 'node:fs/promises';
import { TsbuildError } from '../../core/index.ts';
import type { Access, Users } from '../../registry/index.ts';
import { invalidFlag, oneOf, type ParsedFlags } from '../args/flag.ts';
import type { Command } from '../command.ts';
import type { Session } from '../session.ts';
import { withWiring } from '../wire.ts';

const defaultPort = 5000;

export const registry: Command = {
  usage: 'registry serve [OPTIONS] [DIR]',
  about:
    'Serves the local store, or the OCI layout in DIR (made when it is not there), to docker, skopeo and every other client ' +
    'until it is stopped. An image is found under the name people give it: alpine:3, ghcr.io/me/app:1. Who reaches it may ' +
    'read; only your own processes on this machine (and root) may push, unless you name users or let anyone in.',
  flags: [
    { name: 'port', short: 'p', value: 'PORT', help: `port to listen on (default: ${defaultPort}); 0: any free one` },
    { name: 'address', value: 'ADDRESS', help: 'address to listen on (default: 127.0.0.1, this machine only)' },
    {
      name: 'users',
      value: 'FILE',
      help: 'only these users: lines NAME:PASSWORD, the password in clear text or as the bcrypt hash of htpasswd -B',
    },
    { name: 'anyone', help: 'everyone who reaches it may push and delete' },
    { name: 'read-only', help: 'refuse pushes and deletions' },
    { name: 'tls-cert', value: 'FILE', help: 'certificate (PEM): speak https' },
    { name: 'tls-key', value: 'FILE', help: 'its key (PEM)' },
  ],
  examples: [
    ['tsbuild registry serve --read-only', 'let an engine on this machine pull what was built'],
    ['tsbuild registry serve images --port 0', 'a registry for tests, in a directory, on a free port'],
  ],
  words: { least: 1, most: 2 },
  async run(flags, session) {
    const [action = '', folder] = flags.positionals;
    oneOf('registry', action, ['serve']);
    const port = portOf(flags);
    const tls = await tlsOf(flags);
    return await withWiring(
      session,
      () => {},
      async (wiring) => {
        const [{ serveRegistry }, { servedStore }, store] = await Promise.all([
          import('../../registry/index.ts'),
          import('../ports/served-store.ts'),
          wiring.store(folder),
        ]);
        const address = flags.text('address');
        const access = await accessOf(flags, session);
        await using server = await serveRegistry({
          storage: servedStore(store),
          uploadFolder: store.temporaryFolder(),
          port,
          ...(address !== undefined && { address }),
          ...(tls && { tls }),
          readOnly: flags.on('read-only'),
          access,
          onFailure: (error) => {
            session.stderr.write(`warning: ${error instanceof Error ? error.message : String(error)}\n`);
          },
        });
        warnOfStrangers(address, flags, tls !== undefined, session);
        session.stdout.write(`${server.url}\n`);
        await stopped(session.signal);
        return 0;
      },
    );
  },
};

function portOf(flags: ParsedFlags): number {
  const text = flags.text('port') ?? String(defaultPort);
  if (/^\d{1,5}$/.test(text) && Number(text) < 65_536) return Number(text);
  throw invalidFlag('--port', `${JSON.stringify(text)} is not a port`, 'Write a number from 0 to 65535.');
}

async function tlsOf(flags: ParsedFlags): Promise<{ readonly cert: string; readonly key: string } | undefined> {
  const [cert, key] = [flags.text('tls-cert'), flags.text('tls-key')];
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) throw invalidFlag('--tls-cert', 'certificate and key go together');
  return { cert: await readPem(cert), key: await readPem(key) };
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new TsbuildError({
      code: 'registry-config',
      message: `${path} cannot be read`,
      hint: 'Name PEM files you may read.',
      cause,
    });
  }
}

async function accessOf(flags: ParsedFlags, { user }: Session): Promise<Access> {
  const { anyone, onlyOwnersWrite, onlyUsers } = await import('../../registry/index.ts');
  const file = flags.text('users');
  if (file !== undefined && flags.on('anyone')) throw invalidFlag('--anyone', 'it leaves --users without effect');
  if (file !== undefined) return onlyUsers(await readUsers(file));
  return flags.on('anyone') ? anyone : onlyOwnersWrite([0, user]);
}

/** @throws TsbuildError `registry-config` */
async function readUsers(path: string): Promise<Users> {
  const { parseUsers } = await import('../../registry/index.ts');
  const [text, { mode }] = await Promise.all([readFile(path, 'utf8'), stat(path)]).catch((cause: unknown) => {
    throw new TsbuildError({
      code: 'registry-config',
      message: `${path} cannot be read`,
      hint: 'Name a file you may read.',
      cause,
    });
  });
  const users = parseUsers(text, path);
  if (!users.hasClearText || (mode & 0o077) === 0) return users;
  throw new TsbuildError({
    code: 'registry-config',
    message: `other users of this machine may read the passwords in ${path}`,
    hint: `Run: chmod 600 ${path}; or keep hashes, which htpasswd -B makes.`,
  });
}

function warnOfStrangers(address: string | undefined, flags: ParsedFlags, tls: boolean, { stderr }: Session): void {
  const isLocal = address === undefined || address === '::1' || address === 'localhost' || address.startsWith('127.');
  if (isLocal && !flags.on('anyone')) return;
  if (flags.text('users') !== undefined) {
    if (!tls) stderr.write('warning: passwords travel in clear text: give --tls-cert and --tls-key\n');
    return;
  }
  const push = flags.on('anyone') && !flags.on('read-only') ? ' and push to it' : '';
  stderr.write(`warning: everyone who can reach ${address ?? '127.0.0.1'} may pull from it${push}\n`);
}

function stopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
