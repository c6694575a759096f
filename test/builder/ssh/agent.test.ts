/** Our SSH agent, judged by OpenSSH: its client programs, its signature check and its server. */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openAgents } from '../../../src/builder/ssh/index.ts';
import { isTsbuildError } from '../../../src/core/index.ts';
import { type Finished, mustRun, run, works } from '../../support/command.ts';
import { requirement } from '../../support/requirement.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const present = await works('sh', ['-c', 'command -v ssh-keygen && command -v ssh-add']);
const missing = present ? undefined : 'openssh-client is not installed';
requirement('OpenSSH', missing);
const server = '/usr/sbin/sshd';

const folder = temporaryFolder('agent');
afterAll(async () => await folder[Symbol.asyncDispose]());

/** Arguments of ssh-keygen by the name of the key's file. */
const kinds: Readonly<Record<string, readonly string[]>> = {
  ed25519: ['-t', 'ed25519'],
  rsa: ['-t', 'rsa', '-b', '2048'],
  'rsa-pem': ['-t', 'rsa', '-b', '2048', '-m', 'PEM'],
  'rsa-pkcs8': ['-t', 'rsa', '-b', '2048', '-m', 'PKCS8'],
  ecdsa256: ['-t', 'ecdsa', '-b', '256'],
  ecdsa384: ['-t', 'ecdsa', '-b', '384'],
  ecdsa521: ['-t', 'ecdsa', '-b', '521'],
  'ecdsa-pem': ['-t', 'ecdsa', '-b', '256', '-m', 'PEM'],
};
const names = Object.keys(kinds);
const keyFile = (name: string) => folder.join(name);

describe.skipIf(missing !== undefined)('an agent over key files', () => {
  beforeAll(async () => {
    const make = (name: string, args: readonly string[], passphrase = '') =>
      mustRun('ssh-keygen', ['-q', '-N', passphrase, '-C', `comment of ${name}`, '-f', keyFile(name), ...args]);
    await Promise.all(Object.entries(kinds).map(([name, args]) => make(name, args)));
    await make('locked', ['-t', 'ed25519'], 'open sesame');
    await make('locked-pem', ['-t', 'rsa', '-b', '2048', '-m', 'PEM'], 'open sesame');
  });

  test('lists its keys as ssh-add shows them', async () => {
    await using agents = await openAgents(new Map([['default', names.map(keyFile)]]));
    const listed = (await mustRun('ssh-add', ['-L'], { env: environment(agents) })).text.trim().split('\n');
    const blobs = names.map((name) =>
      readFileSync(`${keyFile(name)}.pub`, 'utf8')
        .split(' ')
        .slice(0, 2)
        .join(' '),
    );
    expect(listed.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual(blobs);
    // PEM has no room for a comment: the file's name stands in.
    expect(listed[0]).toContain('comment of ed25519');
    expect(listed[2]).toMatch(/ rsa-pem$/);
    const { text } = await mustRun('ssh-add', ['-l'], { env: environment(agents) });
    expect(text).toContain('(ED25519)');
  });

  test.each(names)('signs with the key %s so that OpenSSH takes the signature', async (name) => {
    await using agents = await openAgents(new Map([['default', [keyFile(name)]]]));
    // Several: a number in a signature may begin with any bit.
    for (let round = 0; round < 8; round++) {
      const document = folder.join(`${name}-${round}.txt`);
      writeFileSync(document, `document ${round}`);
      // -f names the public key only: the private one is the agent's.
      await mustRun('ssh-keygen', ['-Y', 'sign', '-n', 'test', '-f', `${keyFile(name)}.pub`, document], {
        env: environment(agents),
      });
      writeFileSync(folder.join(`${name}.signers`), `me ${readFileSync(`${keyFile(name)}.pub`, 'utf8')}`);
      const check = ['-Y', 'verify', '-n', 'test', '-I', 'me', '-f', folder.join(`${name}.signers`), '-s'];
      await mustRun('ssh-keygen', [...check, `${document}.sig`], { input: `document ${round}` });
      const forged = await run('ssh-keygen', [...check, `${document}.sig`], { input: 'another' });
      expect(forged.code).not.toBe(0);
    }
  });

  test.skipIf(!existsSync(server)).each(['ed25519', 'rsa', 'ecdsa521'])(
    'lets ssh into a real server with the key %s, and no other in',
    async (name) => {
      const login = await sshd(keyFile(`${name}.pub`));
      await using agents = await openAgents(new Map([['default', [keyFile(name)]]]));
      await using others = await openAgents(new Map([['default', [keyFile('ecdsa256')]]]));
      const entered = await login(environment(agents));
      expect(entered.text.trim(), entered.stderr).toBe('inside');
      expect((await login(environment(others))).stderr).toContain('Permission denied');
    },
  );

  test.each([
    ['locked', 'is protected by a passphrase', 'ssh-add'],
    ['locked-pem', 'is protected by a passphrase', 'ssh-add'],
    ['ed25519.pub', 'is neither a private key nor', 'without .pub'],
    ['text', 'is neither a private key nor', 'private key'],
    ['cut', 'is damaged', 'Ed25519'],
    ['gone', 'cannot be read', 'path'],
  ])('refuses %s at once: it %s', async (name, what, hint) => {
    writeFileSync(folder.join('text'), 'a shopping list');
    const whole = readFileSync(keyFile('ed25519'), 'utf8').split('\n');
    writeFileSync(folder.join('cut'), [...whole.slice(0, 2), ...whole.slice(-2)].join('\n'));
    const error: unknown = await openAgents(new Map([['x', [keyFile('rsa'), folder.join(name)]]])).catch((e) => e);
    if (!isTsbuildError(error)) throw new Error('it was taken');
    expect(error).toMatchObject({ code: 'ssh-key-unusable', message: expect.stringContaining(what) });
    expect(error.hint).toContain(hint);
  });

  test('answers what it cannot do or read with a failure, and goes on', async () => {
    await using agents = await openAgents(new Map([['default', [keyFile('ed25519')]]]));
    const failure = '0000000105';
    // Adding a key, an extension, a signature by an unknown key, a signature cut short, an empty request.
    const requests = ['0000000111', '000000011b', '0000000d0d000000000000000000000000', '000000020d00', '00000000'];
    for (const request of requests) expect(await asked(agents, request)).toBe(failure);
    expect(await asked(agents, '000000010b')).toMatch(/^[0-9a-f]{8}0c00000001/);
    expect(await asked(agents, '7fffffff0b')).toBe('');
  });

  test('leaves no socket', async () => {
    const agents = await openAgents(new Map([['default', [keyFile('ed25519')]]]));
    const path = agents.sockets.get('default') ?? '';
    await agents[Symbol.asyncDispose]();
    expect((await run('ls', [path])).code).not.toBe(0);
  });
});

function environment({ sockets }: { readonly sockets: ReadonlyMap<string, string> }): Record<string, string> {
  return { SSH_AUTH_SOCK: sockets.get('default') ?? '', HOME: folder.path };
}

/** Sends bytes, in hex, and returns what comes back first; '' when the agent hangs up. */
function asked({ sockets }: { readonly sockets: ReadonlyMap<string, string> }, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(sockets.get('default') ?? '');
    socket.on('error', reject);
    socket.on('close', () => resolve(''));
    socket.on('data', (chunk) => {
      resolve(chunk.toString('hex'));
      socket.destroy();
    });
    socket.write(Buffer.from(request, 'hex'));
  });
}

/** A server on the other end of a pipe, which lets one key in. @returns how to log in with an agent */
async function sshd(publicKey: string): Promise<(env: Record<string, string>) => Promise<Finished>> {
  const file = (name: string, text: string, mode = 0o600) => {
    writeFileSync(folder.join(name), text);
    chmodSync(folder.join(name), mode);
    return folder.join(name);
  };
  const allowed = file('allowed', readFileSync(publicKey, 'utf8'));
  const config = file(
    'sshd_config',
    ['UsePAM no', 'StrictModes no', 'PasswordAuthentication no', 'PermitRootLogin yes', `AuthorizedKeysFile ${allowed}`]
      .concat(`HostKey ${keyFile('ed25519')}`, 'ForceCommand echo inside')
      .join('\n'),
  );
  // It wants a folder in /run, which is no concern of this machine.
  const start = `mount -t tmpfs none /run && mkdir /run/sshd && exec ${server} -i -e -f ${config}`;
  const proxy = `unshare -m sh -c '${start}'`;
  const options = {
    ProxyCommand: proxy,
    StrictHostKeyChecking: 'no',
    UserKnownHostsFile: '/dev/null',
    BatchMode: 'yes',
  };
  const flags = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  return (env) => run('ssh', ['-F', '/dev/null', ...flags, 'root@server'], { env });
}
