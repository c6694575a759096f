/** Every behaviour of the table on every rung this machine can be brought to. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { check } from './support/behaviours/check.ts';
import { behaviours } from './support/behaviours/index.ts';
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
