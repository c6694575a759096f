/** Attempts to reach the host through races and leftovers; each loops for a bounded number of rounds. */
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ignoreEvents } from '../../src/core/index.ts';
import { createSandbox, type StepMount, type StepResult, type StepSpec } from '../../src/sandbox/index.ts';
import { mustRun, run } from '../support/command.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { cannotTest } from './support/step-runner.ts';

const reason = await cannotTest('root');

describe.skipIf(reason !== undefined)(`against the host${reason ? ` (skipped: ${reason})` : ''}`, () => {
  test('a mount source swapped for a link while it is mounted never shows a file of the host', async () => {
    await using folder = temporaryFolder('escape', 0o755);
    const outside = folder.join('outside');
    const source = folder.join('source');
    mkdirSync(outside);
    writeFileSync(join(outside, 'f'), 'canary');
    mkdirSync(join(source, 'a'), { recursive: true });
    writeFileSync(join(source, 'a/f'), 'inside');
    const swap = `while :; do mv a x; ln -s ${outside} a; rm a; mv x a; done 2>/dev/null`;
    const swapper = spawn('busybox', ['sh', '-c', swap], { cwd: source, stdio: 'ignore', detached: true });
    try {
      const seen = new Map<string, number>();
      for (let round = 0; round < 150; round++) {
        const mounts: StepMount[] = [{ kind: 'bind', root: source, source: '/a', target: '/m', readOnly: true }];
        const outcome = await attempt(folder.path, round, 'cat /m/f', mounts);
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
      }
      expect([...seen.keys()].filter((text) => !['inside', 'sandbox-mount-failed'].includes(text))).toEqual([]);
    } finally {
      if (swapper.pid !== undefined) process.kill(-swapper.pid, 'SIGKILL');
    }
  });

  test('mount targets in a shared cache, swapped by another step, make and remove nothing on the host', async () => {
    await using folder = temporaryFolder('escape', 0o755);
    const [outside, cache, source] = ['outside', 'cache', 'source'].map((name) => folder.join(name)) as [
      string,
      string,
      string,
    ];
    for (const path of [outside, cache, source, join(outside, 'empty')]) mkdirSync(path);
    writeFileSync(join(outside, 'f'), '');
    await busyboxRoot(folder.path);
    const shared: StepMount = { kind: 'bind', root: cache, source: '/', target: '/cache', readOnly: false };
    const stop = new AbortController();
    const swap = `cd /cache; mkdir t; while :; do mv t x; ln -s ${outside} t; rm -f t; ln -s /proc/self/fd/5 t; rm -f t; mv x t; done 2>/dev/null`;
    const attacker = attempt(folder.path, 9999, swap, [shared], stop.signal);
    try {
      for (let round = 0; round < 100; round++) {
        await attempt(folder.path, round, 'true', [
          shared,
          { kind: 'tmpfs', target: '/cache/t/empty' },
          { kind: 'bind', root: source, source: '/', target: '/cache/t/new', readOnly: true },
        ]);
      }
    } finally {
      stop.abort();
      await attacker;
    }
    expect(readdirSync(outside).sort()).toEqual(['empty', 'f']);
  });

  test('a secret is in no file of the step after it', async () => {
    await using folder = temporaryFolder('escape', 0o755);
    const canary = `canary-${process.pid}-secret`;
    const mounts: StepMount[] = [
      { kind: 'secret', target: '/run/secrets/s', content: Buffer.from(canary), mode: 0o400, uid: 0, gid: 0 },
    ];
    expect(await attempt(folder.path, 0, 'cat /run/secrets/s; mv /run /other; true', mounts)).toBe(canary);
    expect((await run('grep', ['-r', canary, folder.path])).code).toBe(1);
  });

  test('a step with the default network reaches no service on the loopback of this machine', async () => {
    await using folder = temporaryFolder('escape', 0o755);
    const server = createServer((socket) => socket.end('host service\n'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const notices: string[] = [];
    try {
      const script = `for a in 127.0.0.1 10.0.2.2; do nc -w 2 $a ${port} </dev/null 2>/dev/null; done; echo end`;
      expect(await attempt(folder.path, 0, script, [], undefined, 'host')).toBe('host service\nend');
      const text = await attempt(folder.path, 1, script, [], undefined, 'default', notices);
      // Without a connecting program the step shares the host's network, and says so.
      const fellBack = notices.some((notice) => notice.includes('network of this machine'));
      expect(text).toBe(fellBack ? 'host service\nend' : 'end');
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

/** What a step printed, or the code of the error it met. */
async function attempt(
  folder: string,
  round: number,
  script: string,
  mounts: readonly StepMount[],
  signal: AbortSignal = new AbortController().signal,
  network: StepSpec['network'] = 'host',
  notices: string[] = [],
): Promise<string> {
  const base = await busyboxRoot(folder);
  const [upper, work] = [join(folder, `upper-${round}`), join(folder, `work-${round}`)];
  mkdirSync(upper);
  mkdirSync(work);
  const sandbox = await createSandbox({
    isolation: 'root',
    events: (event) => (event.kind === 'notice' ? notices.push(event.message) : ignoreEvents(event)),
    scratch: folder,
  });
  const out: Buffer[] = [];
  const spec: StepSpec = {
    rootfs: { kind: 'overlay', lowers: [base], upper, work },
    args: ['/bin/sh', '-c', script],
    env: ['PATH=/bin'],
    cwd: '/',
    user: '',
    hostname: 'h',
    network,
    security: 'sandbox',
    mounts,
    extraHosts: [],
    limits: {},
  };
  try {
    const done: Promise<StepResult> = sandbox.run(spec, {
      signal,
      onOutput: (_, chunk) => out.push(Buffer.from(chunk)),
    });
    await done;
    return Buffer.concat(out).toString().trim();
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}

async function busyboxRoot(folder: string): Promise<string> {
  const base = join(folder, 'base');
  const bin = join(base, 'bin');
  const build =
    'test -d "$1" || { mkdir -p "$1" && cp /usr/bin/busybox "$1" && for a in sh cat mv ln rm mkdir nc true; do ln -s busybox "$1/$a"; done; }';
  await mustRun('sh', ['-c', build, 'sh', bin]);
  return base;
}
