/**
 * Attempts to reach the host through races, leftovers and the helper itself, on every rung; what a single look settles is
 * among the behaviours. Races loop for a bounded time.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from '../support/command.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { helpersOf, mountsWith } from './support/process-table.ts';
import type { Answer } from './support/protocol.ts';
import { cannotTest, type StepRunner, stepRunner, type TestedRung } from './support/step-runner.ts';

const rungs: readonly TestedRung[] = ['root', 'userns', 'single', 'chroot'];

/** Tries again and again: at least ten times, for three seconds or a hundred rounds. */
async function race(round: (number: number) => Promise<void>): Promise<void> {
  const end = Date.now() + 3000;
  for (let number = 0; number < 10 || (number < 100 && Date.now() < end); number++) await round(number);
}

for (const rung of rungs) {
  const reason = await cannotTest(rung);
  describe.skipIf(reason !== undefined)(
    `against the host on the rung ${rung}${reason ? ` (skipped: ${reason})` : ''}`,
    () => {
      let runner: StepRunner;
      let folder: TemporaryFolder;
      beforeAll(async () => {
        folder = temporaryFolder('escape', 0o755);
        runner = await stepRunner(rung);
      });
      afterAll(async () => {
        await runner[Symbol.asyncDispose]();
        await folder[Symbol.asyncDispose]();
      });

      /** Without mounts there is no race for them; what is copied instead is tried by whole builds. */
      const whereMounted: (title: string, run: () => Promise<void>) => void = rung === 'chroot' ? () => {} : test;

      /** A place of the host anyone may write to, so that reaching it shows on every rung. */
      function outside(name: string): string {
        const path = folder.join(name);
        mkdirSync(join(path, 'empty'), { recursive: true });
        writeFileSync(join(path, 'f'), 'canary');
        for (const each of [path, join(path, 'empty')]) chmodSync(each, 0o777);
        chmodSync(join(path, 'f'), 0o666);
        return path;
      }

      whereMounted('a mount source swapped for a link while it is mounted never shows a file of the host', async () => {
        const host = outside('source-race');
        const source = folder.join('source');
        mkdirSync(join(source, 'a'), { recursive: true });
        writeFileSync(join(source, 'a/f'), 'inside');
        const swapper = swap(source, `while :; do mv a x; ln -s ${host} a; rm a; mv x a; done 2>/dev/null`);
        try {
          const seen = new Set<string>();
          await race(async () => {
            const mounts = [{ kind: 'bind', host: source, source: '/a', target: '/m', readOnly: true }] as const;
            seen.add(outcome(await runner.run({ script: 'cat /m/f', mounts })));
          });
          expect([...seen].filter((text) => !['inside', 'sandbox-mount-failed'].includes(text))).toEqual([]);
        } finally {
          stop(swapper);
        }
      });

      whereMounted(
        'mount targets in a shared cache, swapped by another step, make and remove nothing on the host',
        async () => {
          const host = outside('target-race');
          const shared = { kind: 'bind', host: '../cache', source: '/', target: '/cache', readOnly: false } as const;
          const script = `cd /cache; mkdir t; echo ready; while :; do mv t x; ln -s ${host} t; rm -f t; ln -s /proc/self/fd/5 t; rm -f t; mv x t; done 2>/dev/null`;
          let ready = () => {};
          const running = new Promise<void>((resolve) => {
            ready = resolve;
          });
          const attacker = runner.start({ script, mounts: [shared], watch: true }, ready);
          await running;
          const seen = new Set<string>();
          try {
            await race(async () => {
              const answer = await runner.run({
                mounts: [
                  shared,
                  { kind: 'tmpfs', target: '/cache/t/empty' },
                  { kind: 'secret', target: '/cache/t/f', content: 'own', mode: 0o400, uid: 0, gid: 0 },
                  { kind: 'bind', host: 'source', source: '/', target: '/cache/t/new', readOnly: true },
                ],
              });
              seen.add(answer.error?.code ?? 'ran');
            });
          } finally {
            attacker.abort();
            await attacker.done;
          }
          expect(
            [...seen].filter((text) => !['ran', 'sandbox-mount-failed', 'sandbox-setup-failed'].includes(text)),
          ).toEqual([]);
          expect(readdirSync(host).sort()).toEqual(['empty', 'f']);
          expect(readdirSync(join(host, 'empty'))).toEqual([]);
          expect(readFileSync(join(host, 'f'), 'utf8')).toBe('canary');
        },
      );

      test('the removal of what was made for a step follows no link the step put in its place', async () => {
        const host = outside('removal');
        const script = `mv /run /other; ln -s ${host} /run; rm -rf /other/secrets; ln -s ${host} /other/secrets; mv /etc /etc2; ln -s ${host} /etc; echo done`;
        const mounts = ['/run/secrets/f', '/run/f', '/run/empty/x'].map(
          (target) => ({ kind: 'secret', target, content: 'own', mode: 0o400, uid: 0, gid: 0 }) as const,
        );
        const answer = await runner.run({ script, mounts });
        expect(answer.error).toBeUndefined();
        expect(readdirSync(host, { recursive: true }).sort()).toEqual(['empty', 'f']);
        expect(readFileSync(join(host, 'f'), 'utf8')).toBe('canary');
      });

      test('what a step with all capabilities mounts, and shares, appears nowhere on this machine', async () => {
        const name = `escape-${process.pid}-${rung}`;
        let seen: string[] = ['none was looked for'];
        const script = `mount --make-rshared /; mount --make-rshared /cache; mkdir -p /cache/t; mount -t tmpfs ${name} /cache/t; grep -c ${name} /proc/mounts; echo ready`;
        const answer = await runner.run(
          {
            script: `(${script}) 2>/dev/null; sleep 0.1`,
            step: { security: 'insecure' },
            mounts:
              rung === 'chroot'
                ? []
                : [{ kind: 'bind', host: 'cache', source: '/', target: '/cache', readOnly: false }],
            watch: true,
          },
          () => {
            seen = mountsWith(name);
          },
        );
        expect(answer.stdout, JSON.stringify(answer)).toBe(rung === 'chroot' ? 'ready\n' : '1\nready\n');
        expect(seen).toEqual([]);
      });

      test('links of the image lead no file that is made for a step out of its root', async () => {
        const host = outside('made');
        const up = '../'.repeat(30);
        const answer = await runner.run({
          script: 'cat /run/secrets/f /etc/hosts > /dev/null; true',
          files: [
            ['etc/hosts', `->${host}/f`],
            ['etc/hostname', `->${up}${host}/f`],
            ['run/secrets', `->${up}${host}`],
            ['dev', `->${host}`],
          ],
          mounts: [{ kind: 'secret', target: '/run/secrets/f', content: 'own', mode: 0o400, uid: 0, gid: 0 }],
        });
        expect(answer.error?.code ?? 'ran').toMatch(/^(ran|sandbox-.*)$/);
        expect(readdirSync(host, { recursive: true }).sort()).toEqual(['empty', 'f']);
        expect(readFileSync(join(host, 'f'), 'utf8')).toBe('canary');
      });

      test('a secret is in no file of the step after it', async () => {
        const canary = `canary-${process.pid}-secret`;
        const answer = await runner.run({
          script: 'cat /run/secrets/s; mv /run/secrets /other 2>/dev/null; mv /run /other; true',
          mounts: [{ kind: 'secret', target: '/run/secrets/s', content: canary, mode: 0o400, uid: 0, gid: 0 }],
        });
        expect(outcome(answer)).toBe(canary);
        const searched = await run('grep', ['-r', canary, answer.place ?? 'nothing']);
        expect([searched.code, searched.text]).toEqual([1, '']);
      });

      test('the helper is the same after a step that ran it and wrote to it', async () => {
        const helper = runner.driver.replace(/driver\.mjs$/, 'native/tsbuild-sandbox');
        const digest = () => createHash('sha256').update(readFileSync(helper)).digest('hex');
        const before = digest();
        // The program of the step is what PID 1 runs: the attack of CVE-2019-5736.
        await runner.run({ step: { args: ['/proc/self/exe', 'probe'] } });
        await runner.run({
          script:
            'for p in /proc/[0-9]*; do (echo x > $p/exe) 2>/dev/null; (echo x >> $p/fd/0) 2>/dev/null; done; true',
          files: [['bin/self', '->/proc/self/exe']],
          step: { security: 'insecure' },
        });
        expect(digest()).toBe(before);
        expect(outcome(await runner.run({ script: 'echo fine' }))).toBe('fine');
      });

      test('what runs as the helper is a sealed copy in memory, not the file', async () => {
        const executables: string[] = [];
        const step = runner.start({ script: 'echo ready; sleep 1000', watch: true }, () => {
          const { servers, inits } = helpersOf(runner.driver);
          executables.push(...[...servers, ...inits].map((pid) => readlinkSync(`/proc/${pid}/exe`)));
          step.abort();
        });
        await step.done;
        expect(executables.length).toBeGreaterThan(1);
        for (const path of executables) expect(path).toMatch(/^\/memfd:/);
      });

      test('a step with the default network reaches no service on the loopback of this machine, unless tsbuild said so', async () => {
        const server = createServer((socket) => socket.end('host service\n'));
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
        const address = server.address();
        const port = typeof address === 'object' && address ? address.port : 0;
        try {
          const script = `for a in 127.0.0.1 10.0.2.2 169.254.1.1; do nc -w 2 $a ${port} </dev/null 2>/dev/null; done; echo end`;
          expect(outcome(await runner.run({ script, step: { network: 'host' } }))).toBe('host service\nend');
          const answer = await runner.run({ script, step: { network: 'default' } });
          const fellBack = answer.notices?.some((notice) => notice.includes('network of this machine')) ?? false;
          expect(outcome(answer)).toBe(fellBack ? 'host service\nend' : 'end');
        } finally {
          await new Promise((resolve) => server.close(resolve));
        }
      });

      test('a step without a network reaches no service on the loopback of this machine', async () => {
        const server = createServer((socket) => socket.end('host service\n'));
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
        const address = server.address();
        const port = typeof address === 'object' && address ? address.port : 0;
        try {
          const script = `nc -w 2 127.0.0.1 ${port} </dev/null 2>/dev/null; nc -w 2 ::1 ${port} </dev/null 2>/dev/null; echo end`;
          const answer = await runner.run({ script, step: { network: 'none' } });
          expect(outcome(answer)).toBe('end');
        } finally {
          await new Promise((resolve) => server.close(resolve));
        }
      });
    },
  );
}

/** What a step printed, or the code of the error it met. */
function outcome(answer: Answer): string {
  return answer.error?.code ?? (answer.stdout ?? '').trim();
}

function swap(cwd: string, script: string): ChildProcess {
  return spawn('busybox', ['sh', '-c', script], { cwd, stdio: 'ignore', detached: true });
}

function stop({ pid }: ChildProcess): void {
  if (pid !== undefined) process.kill(-pid, 'SIGKILL');
}
