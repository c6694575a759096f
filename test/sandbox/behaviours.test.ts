/** Every behaviour of the table on every rung this machine can be brought to. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Behaviour } from './support/behaviours/behaviour.ts';
import { behaviours } from './support/behaviours/index.ts';
import type { Answer } from './support/protocol.ts';
import { cannotTest, type StepRunner, stepRunner, type TestedRung } from './support/step-runner.ts';

const rungs: readonly TestedRung[] = ['root', 'userns', 'single', 'chroot'];

for (const rung of rungs) {
  const reason = await cannotTest(rung);
  describe.skipIf(reason !== undefined)(`on the rung ${rung}${reason ? ` (skipped: ${reason})` : ''}, a step`, () => {
    let runner: StepRunner;
    beforeAll(async () => {
      runner = await stepRunner(rung);
    });
    afterAll(async () => {
      await runner[Symbol.asyncDispose]();
    });
    for (const behaviour of behaviours) {
      const different = behaviour.not?.[rung];
      if (different === undefined) {
        test(behaviour.title, async () => {
          check(await runner.run(behaviour.request), behaviour);
        });
      } else if (!behaviour.untried) {
        test(`differs (${different}): ${behaviour.title}`, async () => {
          const answer = await runner.run(behaviour.request);
          expect(() => check(answer, behaviour), 'it no longer differs').toThrow();
        });
      }
    }
  });
}

function check(answer: Answer, { expect: expected }: Behaviour): void {
  const context = JSON.stringify({ error: answer.error, stderr: answer.stderr, stdout: answer.stdout?.slice(0, 500) });
  if (expected.error !== undefined) {
    expect(expected.error.split('|'), context).toContain(answer.error?.code);
    if (expected.message) expect(answer.error?.message).toMatch(expected.message);
    return;
  }
  const exit =
    expected.killed === undefined
      ? { kind: 'exited', code: expected.code ?? 0 }
      : { kind: 'killed', signal: expected.killed };
  expect(answer.result?.exit, context).toEqual(exit);
  const stdout = answer.stdout?.trim();
  if (typeof expected.stdout === 'string') expect(stdout, context).toBe(expected.stdout);
  else if (expected.stdout) expect(stdout, context).toMatch(expected.stdout);
  if (expected.stderr) expect(answer.stderr).toMatch(expected.stderr);
  if (expected.left) expect(answer.left).toEqual(expected.left);
}
