/** Limits through control groups. Where this machine gives none, the reason is the test's title. */
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mustRun } from '../support/command.ts';
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

    test('one that meets the lower limit of a group above it is not told that its own was reached', async () => {
      const isVersion1 = existsSync('/sys/fs/cgroup/memory');
      const parent = `tests-${runner.process.pid}`;
      const group = `/sys/fs/cgroup/${isVersion1 ? 'memory/' : ''}${parent}`;
      mkdirSync(group);
      try {
        writeFileSync(`${group}/${isVersion1 ? 'memory.limit_in_bytes' : 'memory.max'}`, `${32 << 20}`);
        const limits = { memory: 1 << 30, memorySwap: 1 << 30, cgroupParent: parent };
        const answer = await runner.run({ script: eat, step: { limits } });
        expect(answer.result?.exit, JSON.stringify(answer)).toEqual({ kind: 'out-of-memory' });
      } finally {
        rmdirSync(group);
      }
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
    test('limits are refused with what root is to do, and kept when root has done that', async () => {
      await using runner = await stepRunner(rung);
      const memory = 32 << 20;
      const limits = { memory, memorySwap: memory, pids: 20, cpusetCpus: '0', cpuShares: 512 };
      const { error } = await runner.run({ script: eat, step: { limits } });
      expect(error).toMatchObject({ code: 'sandbox-limit-failed' });
      const remedy = /^run as root: (mkdir -p (.*) && chown .*); then add --cgroup-parent (\S+)$/.exec(
        error?.hint ?? '',
      );
      if (remedy === null) {
        // Version 2 is delegated by systemd, which the machines of tests do not run.
        expect(error?.hint).toContain('systemd-run --user --scope -p Delegate=yes');
        return;
      }
      const [, command = '', groups = '', cgroupParent = ''] = remedy;
      await mustRun('sh', ['-c', command]);
      try {
        const run = (script: string) => runner.run({ script, step: { limits: { ...limits, cgroupParent } } });
        const eater = await run(eat);
        expect(eater.result?.exit, JSON.stringify(eater)).toEqual({ kind: 'out-of-memory', limit: memory });
        const bomb = await run('for i in $(seq 200); do sleep 100 & done 2>&1; echo end');
        expect(bomb.stdout, JSON.stringify(bomb)).toMatch(/fork/);
        expect(await run('nproc')).toMatchObject({ stdout: '1\n', result: { exit: { kind: 'exited', code: 0 } } });
      } finally {
        // Empty: nothing of a step is left in them.
        for (const group of groups.split(' ')) rmdirSync(group);
      }
    });
  });
}
