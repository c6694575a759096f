/** Limits through control groups. Where this machine gives none, the reason is the test's title. */
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cannotTest, type StepRunner, stepRunner } from './support/step-runner.ts';

const eat = 'head -c 200000000 /dev/zero | tail -c 199000000 > /dev/null';

for (const rung of ['root', 'chroot'] as const) {
  const reason = await cannotTest(rung);
  describe.skipIf(reason !== undefined)(`limits on the rung ${rung}${reason ? ` (skipped: ${reason})` : ''}`, () => {
    let runner: StepRunner;
    beforeAll(async () => {
      runner = await stepRunner(rung);
    });
    afterAll(async () => {
      await runner[Symbol.asyncDispose]();
    });

    test('a step that takes more memory than its limit is reported as out of memory, with the limit', async () => {
      const limit = 32 << 20;
      const answer = await runner.run({ script: eat, step: { limits: { memory: limit, memorySwap: limit } } });
      expect(answer.result?.exit, JSON.stringify(answer)).toEqual({ kind: 'out-of-memory', limit });
    });

    test('a step within its memory limit is not disturbed', async () => {
      const answer = await runner.run({ script: 'echo fine', step: { limits: { memory: 64 << 20 } } });
      expect(answer.result?.exit, JSON.stringify(answer)).toEqual({ kind: 'exited', code: 0 });
    });

    test('a step that forks for ever meets its limit of processes and ends', async () => {
      const bomb = 'for i in $(seq 200); do sleep 100 & done 2>&1; echo end';
      const answer = await runner.run({ script: bomb, step: { limits: { pids: 20 } } });
      expect(answer.stdout, JSON.stringify(answer)).toMatch(/fork/);
    });

    test('limits on processors are accepted', async () => {
      const limits = { cpuShares: 512, cpuPeriod: 100_000, cpuQuota: 50_000, cpusetCpus: '0', cpusetMems: '0' };
      const answer = await runner.run({ script: 'nproc', step: { limits } });
      expect(answer.stdout, JSON.stringify(answer)).toBe('1\n');
    });

    test('a value the kernel refuses is an error that names the limit', async () => {
      const answer = await runner.run({ script: 'true', step: { limits: { cpusetCpus: '4000' } } });
      expect(answer.error?.code).toBe('sandbox-limit-failed');
    });

    test('no control group is left behind', async () => {
      await runner.run({ script: 'true', step: { limits: { memory: 64 << 20, pids: 20 } } });
      const left = readdirSync('/sys/fs/cgroup', { recursive: true, encoding: 'utf8' }).filter((path) =>
        path.split('/').at(-1)?.startsWith(`tsbuild-${runner.process.pid}-`),
      );
      expect(left).toEqual([]);
    });
  });
}

for (const rung of ['userns', 'single'] as const) {
  const reason = await cannotTest(rung);
  describe.skipIf(reason !== undefined)(`limits on the rung ${rung}${reason ? ` (skipped: ${reason})` : ''}`, () => {
    test('a limit is kept where a control group was delegated, else refused with what would help', async () => {
      await using runner = await stepRunner(rung);
      const limit = 32 << 20;
      const answer = await runner.run({ script: eat, step: { limits: { memory: limit, memorySwap: limit } } });
      if (answer.error === undefined) expect(answer.result?.exit).toEqual({ kind: 'out-of-memory', limit });
      else
        expect(answer.error).toMatchObject({ code: 'sandbox-limit-failed', hint: expect.stringContaining('Delegate') });
    });
  });
}
