/** How steps end: by themselves, by an abort, by the death of tsbuild. Nothing of them may stay. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { helpersOf, mountsWith, processesWith, until } from './support/process-table.ts';
import { cannotTest, type StepRunner, stepRunner, type TestedRung } from './support/step-runner.ts';

const rungs: readonly TestedRung[] = ['root', 'userns', 'single', 'chroot'];

/** A number of seconds no other process sleeps, to find a step's processes by. */
let marks = 0;
function mark(): string {
  return `7${process.pid}${String(marks++).padStart(3, '0')}`;
}

for (const rung of rungs) {
  const reason = await cannotTest(rung);
  describe.skipIf(reason !== undefined)(`on the rung ${rung}${reason ? ` (skipped: ${reason})` : ''}`, () => {
    let runner: StepRunner;
    beforeAll(async () => {
      runner = await stepRunner(rung);
    });
    afterAll(async () => {
      await runner[Symbol.asyncDispose]();
    });

    test('background processes, daemons among them, die with the step', async () => {
      const seconds = mark();
      await runner.run({ script: `sleep ${seconds} & (setsid sh -c "setsid sleep ${seconds} &" &); sleep 0.1` });
      expect(processesWith(`sleep ${seconds}`)).toEqual([]);
    });

    test('an abort lets the main process end in its own way, then ends the rest', async () => {
      const seconds = mark();
      const script = `trap 'echo bye; exit 0' TERM; sleep ${seconds} & echo ready; wait`;
      const outputs: string[] = [];
      const step = runner.start({ script, watch: true }, (text) => {
        outputs.push(text);
        if (text.includes('ready')) step.abort();
      });
      const answer = await step.done;
      expect(answer.error?.code).toBe('cancelled');
      expect(outputs.join('')).toBe('ready\nbye\n');
      expect(processesWith(`sleep ${seconds}`)).toEqual([]);
    });

    test('an abort ends a step that ignores every signal', async () => {
      const seconds = mark();
      const script = `trap '' TERM INT HUP; (trap '' TERM; exec sleep ${seconds}) & echo ready; while true; do sleep ${seconds}; done`;
      const step = runner.start({ script, watch: true }, (text) => {
        if (text.includes('ready')) step.abort();
      });
      expect((await step.done).error?.code).toBe('cancelled');
      expect(processesWith(`sleep ${seconds}`)).toEqual([]);
    });

    test('a step with hundreds of processes ends when its main process does', async () => {
      const seconds = mark();
      const script = `i=0; while [ $i -lt 100 ]; do (sleep ${seconds} & sleep ${seconds} &) ; i=$((i+1)); done; exit 5`;
      const answer = await runner.run({ script });
      expect(answer.result?.exit).toEqual({ kind: 'exited', code: 5 });
      expect(processesWith(`sleep ${seconds}`)).toEqual([]);
    });

    test('the program of a held step starts when it is needed, not before', async () => {
      const answer = await runner.run({ script: 'echo ran', held: 'needed' });
      expect([answer.error, answer.stdout]).toEqual([undefined, 'ran\n']);
    });

    test('a held step that is not needed, or is aborted, ends without its program', async () => {
      const answer = await runner.run({ script: 'echo ran > /ran', held: 'refused' });
      expect([answer.error?.message, answer.left]).toEqual(['it is not needed', []]);
      const step = runner.start({ script: 'echo ran > /ran', held: 'open' }, () => step.abort());
      const aborted = await step.done;
      expect([aborted.error?.message, aborted.left]).toEqual(['the operation was cancelled', []]);
      expect(await until(() => helpersOf(runner.driver).inits.length <= 1)).toBe(true);
    });

    test('a killed server takes the step with it', async () => {
      const seconds = mark();
      const step = runner.start({ script: `sleep ${seconds} & echo ready; sleep ${seconds}`, watch: true }, () => {
        for (const pid of helpersOf(runner.driver).servers) process.kill(pid, 'SIGKILL');
      });
      expect((await step.done).error?.code).toBe('sandbox-lost');
      expect(await until(() => processesWith(`sleep ${seconds}`).length === 0)).toBe(true);
    });

    test('mounts of a step are never seen outside', async () => {
      let seen: string[] = ['none was looked for'];
      const answer = await runner.run({ script: 'echo ready; sleep 0.1', watch: true }, () => {
        seen = mountsWith('/steps/step-');
      });
      expect(answer.result?.exit).toEqual({ kind: 'exited', code: 0 });
      expect(seen).toEqual([]);
    });

    test('after SIGKILL of tsbuild no process of the step is left', async () => {
      const seconds = mark();
      const own = await stepRunner(rung);
      try {
        const script = `trap '' TERM; (setsid sleep ${seconds} &); echo ready; sleep ${seconds}`;
        const step = own.start({ script, watch: true }, () => {
          for (const pid of processesWith(own.driver)) process.kill(pid, 'SIGKILL');
        });
        expect((await step.done).error?.code).toBe('driver-ended');
        expect(await until(() => processesWith(`sleep ${seconds}`).length === 0)).toBe(true);
      } finally {
        await own[Symbol.asyncDispose]();
      }
    });
  });
}
