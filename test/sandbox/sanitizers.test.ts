/**
 * The whole helper, built with the address and undefined-behaviour sanitizers, does all behaviours, also with one ID and
 * without namespaces, and passes terminals and pipes on, without a report.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mustRun, run, works } from '../support/command.ts';
import { requirement } from '../support/requirement.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { terminal } from '../support/terminal.ts';
import type { Behaviour } from './support/behaviours/behaviour.ts';
import { check } from './support/behaviours/check.ts';
import { behaviours } from './support/behaviours/index.ts';
import { processesWith, until } from './support/process-table.ts';
import { cannotTest, rungProgram, type StepRunner, stepRunner } from './support/step-runner.ts';

const native = fileURLToPath(new URL('../../src/sandbox/native/', import.meta.url));

/** The helper has no environment to read options from. A process that is killed, or execs, leaks by design. */
const options = `const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0:exitcode=86"; }
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) { return "print_stacktrace=1:halt_on_error=1"; }
`;

const noTerminal = (await works('tmux', ['-V'])) ? undefined : 'tmux is not installed';
requirement('tmux', noTerminal);

let folder: TemporaryFolder;
beforeAll(async () => {
  folder = temporaryFolder('sanitized', 0o755);
  const sources = readdirSync(native).filter((name) => name.endsWith('.c'));
  const flags = ['-std=c11', '-Wall', '-Wextra', '-Wpedantic', '-Werror', '-D_GNU_SOURCE', '-g', '-O1'];
  const sanitize = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer'];
  const input = ['-x', 'c', ...sources.map((name) => `${native}${name}`), '-'];
  await mustRun('cc', [...flags, ...sanitize, '-o', folder.join('helper'), ...input], { input: options });
}, 300_000);
afterAll(async () => {
  await folder[Symbol.asyncDispose]();
});

for (const rung of ['root', 'single', 'chroot'] as const) {
  const reason = await cannotTest(rung);
  describe.skipIf(reason !== undefined)(
    `sanitized, on the rung ${rung}${reason ? ` (skipped: ${reason})` : ''}`,
    () => {
      test('every behaviour is as it is otherwise, and no sanitizer has anything to say', async () => {
        await using runner = await stepRunner(rung, folder.join('helper'));
        const queue = behaviours.filter(({ not }) => not?.[rung] === undefined);
        const failures: string[] = [];
        await Promise.all([1, 2, 3].map(() => work(runner, queue, failures)));
        expect(failures).toEqual([]);
      }, 300_000);

      test.skipIf(noTerminal !== undefined)(
        'a step on a terminal types, resizes and interrupts, and no sanitizer has anything to say',
        async () => {
          await using program = await rungProgram(rung, 'attached-driver.ts', folder.join('helper'));
          await using screen = await terminal('/', program.env);
          const start = (...words: string[]) =>
            screen.line([...program.command, ...words].map((word) => `'${word}'`).join(' '));
          await start('stty size; exec sh', 'input', 'terminal');
          await screen.shows(/^40 120\n[\s\S]*step>$/m);
          await screen.resize(90, 30);
          await screen.line('sleep 1; stty size; seq 20000 | tail -n 3');
          await screen.shows(/^30 90\n19998\n19999\n20000\nstep>$/m);
          await screen.line('sleep 1000');
          await screen.key('C-c');
          await screen.line('seq 300; exit 7');
          await screen.shows(/^300\nended: {"kind":"exited","code":7}\nhost>$/m);
          // Its output alone: what is typed is not for it.
          await start('test -t 1 && stty size; kill -9 $$', 'terminal');
          await screen.shows(/^30 90\nended: {"kind":"killed","signal":"SIGKILL"}\nhost>$/m);
          await start('exec sh', 'input', 'terminal');
          await screen.shows(/step>$/);
          const seconds = `6${process.pid}`;
          await screen.line(`sleep ${seconds}`);
          expect(await until(() => processesWith(`sleep ${seconds}`).length > 0)).toBe(true);
          for (const pid of processesWith(program.path)) process.kill(pid, 'SIGKILL');
          expect(await until(() => processesWith(`sleep ${seconds}`).length === 0)).toBe(true);
          await screen.shows(/Killed\s+host>$/);
          await screen.line('echo "as it was $(stty -a | grep -o "[-]*icanon")"');
          expect(await screen.shows(/^as it was icanon\nhost>$/m)).not.toMatch(sanitizerReport);
        },
        180_000,
      );

      test('a step reads and writes our pipes, and no sanitizer has anything to say', async () => {
        await using program = await rungProgram(rung, 'attached-driver.ts', folder.join('helper'));
        const [command = '', ...args] = program.command;
        const input = 'line\n'.repeat(600_000);
        const pass = await run(command, [...args, 'cat; echo done >&2; exit 3', 'input'], { input, env: program.env });
        expect(pass.text === `${input}ended: {"kind":"exited","code":3}\n`, pass.text.slice(-200)).toBe(true);
        expect(pass.stderr).toBe('done\n');
        const unread = await run(command, [...args, 'exec <&-; seq 100000', 'input'], { input, env: program.env });
        expect(unread.text.slice(-60)).toContain('\n100000\nended: {"kind":"exited","code":0}\n');
        expect(unread.stderr).toBe('');
      }, 180_000);
    },
  );
}

const sanitizerReport = /(AddressSanitizer|runtime error).*/s;

async function work(runner: StepRunner, queue: Behaviour[], failures: string[]): Promise<void> {
  for (let behaviour = queue.shift(); behaviour; behaviour = queue.shift()) {
    const answer = await runner.run(behaviour.request);
    const reported = sanitizerReport.exec(answer.stderr ?? '');
    if (reported) failures.push(`${behaviour.title}: ${reported[0]}`);
    try {
      check(answer, behaviour);
    } catch (error) {
      failures.push(`${behaviour.title}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}
