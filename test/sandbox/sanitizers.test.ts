/** The whole helper, built with the address and undefined-behaviour sanitizers, does all behaviours, also with one ID and without namespaces, without a report. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mustRun } from '../support/command.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import type { Behaviour } from './support/behaviours/behaviour.ts';
import { check } from './support/behaviours/check.ts';
import { behaviours } from './support/behaviours/index.ts';
import { cannotTest, type StepRunner, stepRunner } from './support/step-runner.ts';

const native = fileURLToPath(new URL('../../src/sandbox/native/', import.meta.url));

/** The helper has no environment to read options from. A process that is killed, or execs, leaks by design. */
const options = `const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0:exitcode=86"; }
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) { return "print_stacktrace=1:halt_on_error=1"; }
`;

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
    },
  );
}

async function work(runner: StepRunner, queue: Behaviour[], failures: string[]): Promise<void> {
  for (let behaviour = queue.shift(); behaviour; behaviour = queue.shift()) {
    const answer = await runner.run(behaviour.request);
    const reported = /(AddressSanitizer|runtime error).*/s.exec(answer.stderr ?? '');
    if (reported) failures.push(`${behaviour.title}: ${reported[0]}`);
    try {
      check(answer, behaviour);
    } catch (error) {
      failures.push(`${behaviour.title}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}
