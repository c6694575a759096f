/** `tsbuild run`: what the command gets of the image, of the flags and of this process, and what comes back. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cannotTest } from '../sandbox/support/step-runner.ts';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { type Finished, run } from '../support/command.ts';
import { startRegistry } from '../support/registry.ts';
import { giveToRung, isolationOf, rungPrefix } from '../support/rung-prefix.ts';
import { commandPath, tsbuild, tsbuildEnvironment } from '../support/tsbuild.ts';

const dockerfile = `
FROM base
ENV GREETING=hello EMPTY=
WORKDIR /srv
USER app
ENTRYPOINT ["/bin/echo", "entry:"]
CMD ["default"]
`;

let work: BuildWorkspace;
let context: string;
beforeAll(async () => {
  work = buildWorkspace('run');
  context = work.context('context', { Dockerfile: dockerfile });
  await work.build(context, ['-t', 'app:1']);
});
afterAll(async () => await work[Symbol.asyncDispose]());

function go(args: readonly string[], input?: string): Promise<Finished> {
  return tsbuild(['run', ...args], { home: work.home, cwd: work.path, ...(input !== undefined && { input }) });
}

const shell = ['--entrypoint', 'sh', 'app:1', '-c'];

describe('the command', () => {
  test.each([
    ['is the entrypoint and the command of the image', ['app:1'], 'entry: default\n'],
    [
      'is the entrypoint with words of our own, which are no flags',
      ['app:1', '-n', '--rm', '-x'],
      'entry: -n --rm -x\n',
    ],
    ['is an entrypoint of our own without the command of the image', ['--entrypoint=/bin/pwd', 'app:1'], '/srv\n'],
    ['is what we say when we take the entrypoint away', ['--entrypoint=', 'app:1', 'id', '-un'], 'app\n'],
    [
      'has the variables of the image and ours',
      ['-e', 'A=1', '-e', 'GREETING=bye', ...shell, 'echo $A$GREETING$EMPTY'],
      '1bye\n',
    ],
    [
      'runs as the user and in the directory we say',
      ['-u', '0:0', '-w', '/new/dir', ...shell, 'id -u; pwd'],
      '0\n/new/dir\n',
    ],
    ['has the host name we say', ['--hostname=thing', ...shell, 'hostname; echo $HOSTNAME'], 'thing\nthing\n'],
    ['has a tmpfs where we say', ['--tmpfs=/fast', ...shell, 'grep -c " /fast tmpfs" /proc/mounts'], '1\n'],
    ['has nothing to read', [...shell, 'cat; test -t 0 || echo none'], 'none\n'],
    ['has no network when we say so', ['--network=none', ...shell, 'ls /sys/class/net'], 'lo\n'],
  ])('%s', async (_, args, expected) => {
    const { code, text, stderr } = await go(args);
    expect({ code, text, stderr }).toEqual({ code: 0, text: expected, stderr: expect.not.stringContaining('error') });
  });

  test('reads our standard input with -i, to its end', async () => {
    const big = 'x'.repeat(3_000_000);
    expect((await go(['-i', ...shell, 'wc -c'], big)).text.trim()).toBe('3000000');
    // One that reads none of it does not wait for it.
    expect((await go(['-i', ...shell, 'echo done'], big)).text).toBe('done\n');
  });

  test('has a terminal with -t, also when we have none', async () => {
    const { text } = await go(['-t', ...shell, 'test -t 0 -a -t 1 -a -t 2 && tty']);
    expect(text).toMatch(/^\/dev\/pts\/\d+\r\n$/);
    const both = await go(['-it', ...shell, 'true'], '');
    expect(both.code).toBe(125);
    expect(both.stderr).toContain('standard input is not a terminal');
  });

  test('leaves the image and the store as they were', async () => {
    await go(['-u0', ...shell, 'echo x > /srv/new; rm /bin/ls']);
    expect((await go([...shell, 'ls /srv | wc -l'])).text.trim()).toBe('0');
    expect((await run('ls', [`${work.home}/ingest`])).text).toBe('');
  });

  test('takes variables from a file and from the environment', async () => {
    writeFileSync(`${work.path}/vars`, '# no\n\nONE=1\nTWO=a=b\nFROM_HERE\nNOT_HERE\n');
    const { text } = await tsbuild(
      ['run', '--env-file=vars', ...shell, 'echo $ONE $TWO $FROM_HERE ${NOT_HERE-unset}'],
      {
        home: work.home,
        cwd: work.path,
        env: { FROM_HERE: 'here' },
      },
    );
    expect(text).toBe('1 a=b here unset\n');
  });
});

describe('a volume', () => {
  test('shows a directory or a file of this machine, and takes writes unless it is read-only', async () => {
    const data = `${work.path}/data`;
    mkdirSync(data);
    chmodSync(data, 0o777);
    writeFileSync(`${data}/file`, 'content');
    const args = ['-v', './data:/data', '-v', `${data}/file:/one:ro`, ...shell];
    const { text } = await go([...args, 'cat /data/file /one; echo more > /data/more; echo no > /one || echo refused']);
    expect(text).toBe('contentcontentrefused\n');
    expect(readFileSync(`${data}/more`, 'utf8')).toBe('more\n');
  });

  test.each([
    [['-v', 'name:/x'], 'flag-invalid', 'write ./name'],
    [['-v', '/tmp'], 'flag-invalid', 'path:target'],
    [['-v', './data:x'], 'flag-invalid', 'slash'],
    [['-v', './data:/x:rx'], 'flag-invalid', 'ro, rw'],
    [['-v', './not-there:/x'], 'sandbox-mount-failed', 'does not exist'],
  ])('%j is refused', async (args, error, word) => {
    const { code, stderr } = await go([...args, 'app:1']);
    expect(code).toBe(125);
    expect(stderr).toContain(`[${error}]`);
    expect(stderr).toContain(word);
  });
});

describe('the exit code', () => {
  test.each([
    ['is that of the command', [...shell, 'exit 42'], 42],
    ['is 128 and the signal that ended it', [...shell, 'kill -TERM $$'], 143],
    ['is 127 for a program that is not there', ['--entrypoint=nope', 'app:1'], 127],
    ['is 126 for one that cannot be run', ['--entrypoint=/etc/passwd', 'app:1'], 126],
    ['is 125 for an image that is not there', ['--pull=never', 'nope:1'], 125],
    ['is 2 for a flag there is not', ['--detach', 'app:1'], 2],
  ])('%s', async (_, args, expected) => {
    expect((await go(args)).code).toBe(expected);
  });
});

describe('a signal', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1'] as const)(
    '%s goes to the command, whose code counts',
    async (name) => {
      const word = name.slice(3);
      await using child = start([...shell, `trap 'echo got; exit 9' ${word}; echo ready; while :; do sleep 0.1; done`]);
      await child.says('ready');
      child.process.kill(name);
      expect(await child.ended).toEqual({ code: 9, signal: null });
      expect(child.output()).toBe('ready\ngot\n');
    },
  );

  test('ends a command that takes no notice when it comes the third time', async () => {
    await using child = start([...shell, "trap 'echo no' TERM; echo ready; while :; do sleep 0.1; done"]);
    await child.says('ready\n');
    child.process.kill('SIGTERM');
    await child.says('no\n');
    child.process.kill('SIGTERM');
    await child.says('no\nno\n');
    child.process.kill('SIGTERM');
    expect(await child.ended).toEqual({ code: 143, signal: null });
  });
});

/** A running `tsbuild run`; it is gone when it is disposed of. */
function start(args: readonly string[]) {
  const child = spawn(process.execPath, [commandPath, 'run', ...args], {
    env: { ...process.env, ...tsbuildEnvironment(work.home) } as NodeJS.ProcessEnv,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk;
  });
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }) as { code: number; signal: string });
  return {
    process: child,
    ended,
    output: () => text,
    async says(words: string) {
      while (!text.includes(words)) await once(child.stdout, 'data');
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

describe('the image', () => {
  test('is found by name, ID and digest, and fetched when the store has none', async () => {
    await using registry = await startRegistry();
    const name = `${registry.host}/app:1`;
    const { text: id } = await work.build(context, ['-q', '-t', name, '--push']);
    expect((await go([id.trim()])).text).toBe('entry: default\n');
    expect((await go([id.trim().slice(7, 19)])).text).toBe('entry: default\n');
    const home = `${work.path}/other-home`;
    expect((await tsbuild(['run', '--pull=never', name], { home })).stderr).toContain('[image-unknown]');
    expect((await tsbuild(['run', '-q', name], { home })).text).toBe('entry: default\n');
    expect((await tsbuild(['run', '--pull=never', name], { home })).text).toBe('entry: default\n');
    expect((await tsbuild(['run', '--pull=always', '-q', name, 'now'], { home })).text).toBe('entry: now\n');
  });

  test('that says nothing about what to run needs a command', async () => {
    await work.build(work.context('silent', { Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' }), ['-t', 'silent']);
    const { code, stderr } = await go(['silent']);
    expect(code).toBe(125);
    expect(stderr).toContain('neither an ENTRYPOINT nor a CMD');
  });
});

for (const rung of ['single', 'chroot'] as const) {
  const reason = await cannotTest(rung);
  describe.skipIf(reason !== undefined)(`on the rung ${rung}${reason ? ` (skipped: ${reason})` : ''}`, () => {
    const on = (args: readonly string[], home: string, input = '') => {
      const [program = process.execPath, ...rest] = [...rungPrefix[rung], process.execPath, commandPath, ...args];
      return run(program, rest, { env: { ...tsbuildEnvironment(home), HOME: home }, cwd: '/', input });
    };

    test('a command runs with its streams, its terminal and its code', async () => {
      const home = `${work.path}/home-${rung}`;
      mkdirSync(home);
      await giveToRung(rung, home);
      const isolation = `--isolation=${isolationOf(rung)}`;
      const built = await on(['build', isolation, ...work.bases, '-t', 'app:1', context], home);
      expect(built.code, built.stderr).toBe(0);
      const inside = await on(['run', '-i', isolation, '-u0', ...shell, 'cat; pwd; exit 3'], home, 'typed\n');
      expect({ code: inside.code, text: inside.text }).toEqual({ code: 3, text: 'typed\n/srv\n' });
      expect((await on(['run', '-t', isolation, '-u0', ...shell, 'test -t 0 && echo yes'], home)).text).toBe('yes\r\n');
      const volume = await on(['run', isolation, '-u0', '-v', `${context}:/c`, ...shell, 'ls /c'], home);
      if (rung === 'chroot') expect(volume.stderr).toContain('on the rung chroot, where mounts are copies');
      else expect(volume.text).toBe('Dockerfile\n');
      expect((await on(['run', isolation, '-u0', '-v', `${context}:/c:ro`, ...shell, 'ls /c'], home)).text).toBe(
        'Dockerfile\n',
      );
    });
  });
}
