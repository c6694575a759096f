/** `tsbuild registry serve`: the local store, or a directory, as a registry. */
import { readFile } from 'node:fs/promises';
import { TsbuildError } from '../../core/index.ts';
import { invalidFlag, oneOf, type ParsedFlags } from '../args/flag.ts';
import type { Command } from '../command.ts';
import type { Session } from '../session.ts';
import { withWiring } from '../wire.ts';

const defaultPort = 5000;

export const registry: Command = {
  usage: 'registry serve [OPTIONS] [DIR]',
  about:
    'Serves the local store, or the OCI layout in DIR (made when it is not there), to docker, skopeo and every other client ' +
    'until it is stopped. An image is found under the name people give it: alpine:3, ghcr.io/me/app:1. It knows no users: ' +
    'who reaches it may read, and push unless --read-only is given.',
  flags: [
    { name: 'port', short: 'p', value: 'PORT', help: `port to listen on (default: ${defaultPort}); 0: any free one` },
    { name: 'address', value: 'ADDRESS', help: 'address to listen on (default: 127.0.0.1, this machine only)' },
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
        await using server = await serveRegistry({
          storage: servedStore(store),
          uploadFolder: store.temporaryFolder(),
          port,
          ...(address !== undefined && { address }),
          ...(tls && { tls }),
          readOnly: flags.on('read-only'),
          onFailure: (error) => {
            session.stderr.write(`warning: ${error instanceof Error ? error.message : String(error)}\n`);
          },
        });
        warnOfStrangers(address, flags.on('read-only'), session);
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

function warnOfStrangers(address: string | undefined, readOnly: boolean, { stderr }: Session): void {
  if (address === undefined || address === '::1' || address === 'localhost' || address.startsWith('127.')) return;
  stderr.write(`warning: everyone who can reach ${address} may pull from it${readOnly ? '' : ' and push to it'}\n`);
}

function stopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
