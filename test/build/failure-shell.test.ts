/** `--on-error=shell` and `tsbuild debug`, typed into on a real terminal, on each rung. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { childrenOf, processesWith, until } from '../sandbox/support/process-table.ts';
import { cannotTest } from '../sandbox/support/step-runner.ts';
import { allBaseImages } from '../support/base-images.ts';
import { works } from '../support/command.ts';
import { writeOciLayout } from '../support/image-files.ts';
import { requirement } from '../support/requirement.ts';
import { giveToRung, isolationOf, rungPrefix, type StartedRung } from '../support/rung-prefix.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { type Terminal, terminal } from '../support/terminal.ts';
import { commandPath, tsbuild, tsbuildEnvironment } from '../support/tsbuild.ts';

const missing = (await works('tmux', ['-V'])) ? undefined : 'tmux is not installed';
requirement('tmux', missing);

const folder = temporaryFolder('shell', 0o755);
const context = folder.join('context');
beforeAll(() => {
  writeOciLayout(folder.join('bases'), allBaseImages());
  mkdirSync(context);
  writeFileSync(join(context, 'Dockerfile'), dockerfile);
  writeFileSync(join(context, 'word'), 'open sesame');
});
afterAll(async () => {
  await folder[Symbol.asyncDispose]();
});

const dockerfile = `
FROM base AS build
ENV GREETING=hello
RUN echo lower > /lower
WORKDIR /srv
RUN --mount=type=cache,target=/cache --mount=type=secret,id=word --mount=type=tmpfs,target=/scratch \\
    echo half > done; exit 7
FROM base AS fine
ENV GREETING=hello
WORKDIR /srv
RUN echo made > here
FROM base AS endless
ARG SECONDS
RUN trap '' HUP TERM; sleep $SECONDS; sleep $SECONDS
FROM scratch AS bare
COPY --from=base /bin/busybox /program
RUN ["/program", "false"]
`;

/** The command line, as it is typed. */
function typed(rung: StartedRung, words: readonly string[]): string {
  const home = folder.join(`home-${rung}`);
  const variables = Object.entries({ ...tsbuildEnvironment(home), HOME: home });
  const set = variables.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  const isolation = `--isolation=${isolationOf(rung)}`;
  const base = `--build-context=base=oci-layout://${folder.join('bases')}:base`;
  return [...rungPrefix[rung], 'env', ...set, process.execPath, commandPath, ...words, isolation, base, context].join(
    ' ',
  );
}

async function prepare(rung: StartedRung): Promise<void> {
  mkdirSync(folder.join(`home-${rung}`), { recursive: true });
  chmodSync(folder.join(`home-${rung}`), 0o755);
  await giveToRung(rung, folder.join(`home-${rung}`));
}

for (const rung of ['root', 'single', 'chroot'] as const) {
  const reason = missing ?? (await cannotTest(rung));
  describe.skipIf(reason !== undefined)(`on the rung ${rung}${reason ? ` (skipped: ${reason})` : ''}`, () => {
    test('a shell opens where a RUN failed, with all it had, and the build fails when it ends', async () => {
      await prepare(rung);
      await using screen = await terminal(folder.path, {});
      await screen.line(
        `${typed(rung, ['build', '--on-error=shell', '--target=build', `--secret=id=word,src=${context}/word`])}; echo "ended $?"`,
      );
      await screen.shows(/A shell where it failed[\s\S]*#$/);
      await answers(screen, 'cat /lower done; pwd; echo "$GREETING $TERM"', /lower\nhalf\n\/srv\nhello (tmux|screen)/);
      await answers(screen, 'cat /run/secrets/word; echo', /^open sesame$/m);
      await answers(screen, 'ls -1d /cache /scratch && echo $(ls -A /scratch | wc -l)', /\/cache\n\/scratch\n0$/m);
      await answers(screen, 'id -u', /^0$/m);
      await answers(
        screen,
        'echo new > /cache/kept; rm done; test -t 0 -a -t 1 -a -t 2 && echo "a terminal"',
        /^a terminal$/m,
      );
      await screen.line('exit');
      const end = await screen.shows(/^ended \d+/m);
      expect(end).toMatch(/did not succeed: exit code 7[\s\S]*did not succeed: exit code 7[\s\S]*^ended 1$/m);
    }, 180_000);

    test('the terminal is as it was, and nothing of the step is left, when tsbuild is killed', async () => {
      await prepare(rung);
      await using screen = await terminal(folder.path, {});
      await screen.line(typed(rung, ['debug', '--target=fine']));
      await screen.shows(/No step failed[\s\S]*#$/);
      const seconds = `8${process.pid}`;
      await screen.line(`sleep ${seconds} & stty -echo; sleep ${seconds}`);
      expect(await until(() => processesWith(`sleep ${seconds}`).length === 2)).toBe(true);
      process.kill(outermost(processesWith(context)), 'SIGKILL');
      expect(await until(() => processesWith(`sleep ${seconds}`).length === 0)).toBe(true);
      await screen.shows(/^Killed\s+host>$/m);
      const settings = 'stty -a | grep -oE -- "-?(icanon|echo|isig|opost|icrnl)\\b" | xargs';
      await answers(screen, settings, /^icrnl opost isig icanon echo$/m);
    }, 180_000);

    test('nothing of a build or a shell is left when its terminal is lost, whatever it ignores', async () => {
      await prepare(rung);
      const seconds = `9${process.pid}`;
      const running = (count: number) => () => processesWith(`sleep ${seconds}`).length === count;
      const ours = () => processesWith(context).length === 0;
      const build = await terminal(folder.path, {});
      try {
        await build.line(typed(rung, ['build', '--target=endless', `--build-arg=SECONDS=${seconds}`]));
        expect(await until(running(1), 60_000)).toBe(true);
      } finally {
        await build[Symbol.asyncDispose]();
      }
      expect(await until(running(0))).toBe(true);
      const shell = await terminal(folder.path, {});
      try {
        await shell.line(typed(rung, ['debug', '--target=fine']));
        await shell.shows(/No step failed[\s\S]*#$/);
        await shell.line(`trap '' HUP TERM; sleep ${seconds}; sleep ${seconds}`);
        expect(await until(running(1))).toBe(true);
      } finally {
        await shell[Symbol.asyncDispose]();
      }
      expect(await until(running(0))).toBe(true);
      expect(await until(ours)).toBe(true);
    }, 180_000);
  });
}

describe.skipIf(missing !== undefined)('the terminal', () => {
  test('has job control, interrupts and the size of the window', async () => {
    await prepare('root');
    await using screen = await terminal(folder.path, {});
    await screen.line(typed('root', ['debug', '--target=fine']));
    await screen.shows(/No step failed[\s\S]*#$/);
    await answers(screen, 'pwd; cat here; echo $GREETING; stty size', /\/srv\nmade\nhello\n40 120$/m);
    await screen.line('sleep 1000');
    await screen.key('C-c');
    await answers(screen, 'echo "code $?"', /^code 130$/m);
    await screen.line('sleep 1001');
    await screen.key('C-z');
    await answers(screen, 'jobs', /Stopped +sleep 1001$/m);
    await answers(screen, 'kill -9 %1; wait; tty', /^\/dev\/pts\/\d+$/m);
    await screen.resize(90, 30);
    await screen.shows(/#$/);
    await answers(screen, 'stty size', /^30 90$/m);
    await screen.line('exit');
    await screen.shows(/host>$/);
    // The user's terminal is as it was.
    await answers(screen, 'stty -a | grep -o "[-]*icanon"', /^icanon$/m);
  }, 180_000);

  test('is not given to an image without a shell, which is said once, before the failure', async () => {
    await prepare('root');
    await using screen = await terminal(folder.path, {});
    await screen.line(`${typed('root', ['debug', '--target=bare'])}; echo "ended $?"`);
    const text = await screen.shows(/^ended \d+/m);
    expect(text.match(/\[shell-missing\]/g)).toHaveLength(1);
    expect(text).toMatch(/\[shell-missing\][\s\S]*\[build-run-failed\][\s\S]*^ended 1$/m);
  }, 180_000);
});

test('without a terminal --on-error=shell is an error before anything is built', async () => {
  const { code, stderr } = await tsbuild(['build', '--on-error=shell', context], { home: folder.join('home-none') });
  expect(code).toBe(2);
  expect(stderr).toContain('--on-error=shell: standard input and output are not a terminal');
});

/** The one that is no other's child: tsbuild starts itself again in a user namespace. */
function outermost(pids: readonly number[]): number {
  const pid = pids.find((one) => !pids.some((other) => childrenOf(other).includes(one)));
  if (pid === undefined) throw new Error('no such process');
  return pid;
}

/** Types a line into the shell and waits for its answer and the next prompt. */
async function answers(screen: Terminal, line: string, expected: RegExp): Promise<void> {
  await screen.line(line);
  await screen.shows(new RegExp(`${expected.source}[\\s\\S]*[#>]$`, expected.flags));
}
