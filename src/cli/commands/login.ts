/** `tsbuild login`: checks credentials with a registry and keeps them where Docker does. */
import { TsbuildError } from '../../core/index.ts';
import { readHidden, readLine } from '../ask.ts';
import type { Command } from '../command.ts';
import type { Session } from '../session.ts';

export const login: Command = {
  usage: 'login [OPTIONS] [REGISTRY]',
  about:
    'Checks a user name and a password or token with a registry (default: Docker Hub) and keeps them for pull and push, in ' +
    "Docker's config.json or the credential helper it names.",
  flags: [
    { name: 'username', short: 'u', value: 'NAME', help: 'user name' },
    { name: 'password-stdin', help: 'read the password from standard input' },
    {
      name: 'password',
      short: 'p',
      value: 'TEXT',
      help: 'the password; others on this machine can see it: prefer --password-stdin',
    },
  ],
  examples: [['echo "$TOKEN" | tsbuild login ghcr.io -u me --password-stdin', 'log in from a script']],
  words: { least: 0, most: 1 },
  async run(flags, session) {
    const [registry = 'docker.io'] = flags.positionals;
    const { login: logIn } = await import('../../registry/index.ts');
    const { homeOf, registryOptions } = await import('../ports/registry.ts');
    const fromStdin = flags.on('password-stdin');
    if (fromStdin && flags.given('password')) {
      throw new TsbuildError({
        code: 'usage',
        message: '--password and --password-stdin exclude each other',
        hint: 'Keep --password-stdin.',
      });
    }
    if (flags.given('password'))
      session.stderr.write('warning: --password is visible to others on this machine; use --password-stdin\n');
    const username = flags.text('username') ?? (fromStdin ? undefined : await asked(session, 'Username: ', readLine));
    if (username === undefined) {
      throw new TsbuildError({ code: 'usage', message: '--password-stdin needs --username', hint: 'Add -u NAME.' });
    }
    const password = fromStdin
      ? (await readAll(session.stdin())).replace(/\r?\n$/, '')
      : (flags.text('password') ?? (await asked(session, 'Password: ', readHidden)));
    const result = await logIn({
      registry,
      username,
      password,
      environment: { env: session.env, home: homeOf(session.env) },
      client: registryOptions(session.env, () => {}),
      signal: session.signal,
    });
    if (result.plainText) {
      session.stderr.write(
        `warning: the password is kept unencrypted in ${result.storedIn}; a credential helper avoids that\n`,
      );
    }
    session.stdout.write('Login Succeeded\n');
    return 0;
  },
};

async function asked(
  session: Session,
  prompt: string,
  read: (prompt: string, signal: AbortSignal) => Promise<string>,
): Promise<string> {
  if (!session.stdinIsTerminal) {
    throw new TsbuildError({
      code: 'usage',
      message: 'there is no terminal to ask for the password on',
      hint: 'Use -u NAME --password-stdin.',
    });
  }
  return await read(prompt, session.signal);
}

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
