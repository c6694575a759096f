import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { commandPath, tsbuildEnvironment } from '../support/tsbuild.ts';

let work: BuildWorkspace;
beforeAll(() => {
  work = buildWorkspace('failure');
});
afterAll(async () => await work[Symbol.asyncDispose]());

test('a failing RUN shows the line of the Dockerfile, the exit code and what it printed last', async () => {
  const context = work.context('exit', {
    Dockerfile: 'FROM base\n\nRUN echo first \\\n  && echo the-last-word >&2 \\\n  && exit 42\n',
  });
  const finished = await work.tryBuild(context);
  expect(finished.code).not.toBe(0);
  expect(finished.stderr).toMatch(/exit code:? 42/);
  expect(finished.stderr).toContain('Dockerfile:3');
  expect(finished.stderr.lastIndexOf('the-last-word')).toBeGreaterThan(finished.stderr.indexOf('first'));
});

test('a failing step leaves the steps before it cached and no draft', async () => {
  const context = work.context('later', { Dockerfile: 'FROM base\nRUN echo good > /good\nRUN exit 1\n' });
  const home = `${work.path}/later-home`;
  expect((await work.tryBuild(context, [], { home })).code).not.toBe(0);
  const again = await work.tryBuild(context, [], { home });
  expect(again.stderr).toMatch(/RUN echo good[\s\S]*CACHED/);
  expect(drafts(home)).toEqual([]);
});

describe.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  // The terminal is gone.
  ['SIGHUP', 129],
] as const)('%s', (signal, status) => {
  test('ends every process of the step, and leaves no mount and no draft', async () => {
    // A number no other process sleeps for: it marks the processes of this test.
    const seconds = String(900_000_000 + process.pid + status * 100_000);
    const context = work.context(signal, {
      Dockerfile: `FROM base\nRUN trap '' INT TERM HUP; (setsid sleep ${seconds} &); echo begun; sleep ${seconds}\n`,
    });
    const home = `${work.path}/${signal}-home`;
    const child = spawn(process.execPath, [commandPath, 'build', '--progress', 'plain', ...work.bases, context], {
      env: { ...process.env, ...tsbuildEnvironment(home) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const exited = once(child, 'exit');
    while (!/begun$/m.test(output) && child.exitCode === null) await sleep(20);
    // The shell, and what it starts a moment after it has said so.
    await expect.poll(() => processesWith(seconds).length, { timeout: 60_000, message: output }).toBeGreaterThan(1);
    child.kill(signal);
    const [code] = await exited;
    expect(code).toBe(status);
    expect(processesWith(seconds)).toEqual([]);
    expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(work.path);
    expect(drafts(home)).toEqual([]);
  });
});

test('Ctrl-C once lets a step end in its own way; twice ends at once, without a word, and leaves nothing of the step', async () => {
  const stubborn = String(970_000_000 + process.pid);
  const cases = [
    { script: `trap 'echo cleaned up; exit 1' TERM; echo begun; while true; do sleep 0.1; done`, presses: 1 },
    { script: `trap '' TERM INT; (setsid sleep ${stubborn} &); echo begun; sleep ${stubborn}`, presses: 2 },
  ];
  for (const { script, presses } of cases) {
    const context = work.context(`presses-${presses}`, { Dockerfile: `FROM base\nRUN ${script}\n` });
    const home = `${work.path}/home-presses-${presses}`;
    const child = spawn(process.execPath, [commandPath, 'build', '--progress', 'plain', ...work.bases, context], {
      env: { ...process.env, ...tsbuildEnvironment(home) },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const closed = once(child, 'close');
    while (!/begun$/m.test(output) && child.exitCode === null) await sleep(20);
    child.kill('SIGINT');
    if (presses === 2) {
      while (!output.includes('once more') && child.exitCode === null) await sleep(20);
      // Two that come close together are one, seen twice.
      await sleep(400);
      child.kill('SIGINT');
    }
    const [code] = await closed;
    expect(code, output).toBe(130);
    if (presses === 1) expect(output).toContain('cleaned up');
    expect(/^error: stopped by SIGINT/m.test(output), output).toBe(presses === 1);
  }
  while (processesWith(stubborn).length > 0) await sleep(20);
});

test('SIGKILL of tsbuild takes the step with it, and the next build works', async () => {
  const seconds = String(980_000_000 + process.pid);
  const context = work.context('killed', {
    Dockerfile: `FROM base\nRUN (setsid sleep ${seconds} &); echo begun; sleep ${seconds}\n`,
  });
  const home = `${work.path}/killed-home`;
  const child = spawn(process.execPath, [commandPath, 'build', '--progress', 'plain', ...work.bases, context], {
    env: { ...process.env, ...tsbuildEnvironment(home) },
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  const exited = once(child, 'exit');
  while (processesWith(seconds).length < 2 && child.exitCode === null) await sleep(20);
  child.kill('SIGKILL');
  await exited;
  while (processesWith(seconds).length > 0) await sleep(20);
  expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(work.path);
  const next = work.context('next', { Dockerfile: 'FROM base\nRUN echo fine > /fine\n' });
  await work.build(next, ['-t', 'next:1'], { home });
});

function processesWith(mark: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return command[0]?.includes('sleep') && command.includes(mark) ? [`${pid} ${command.join(' ')}`] : [];
      } catch {
        // It ended while we looked.
        return [];
      }
    });
}

function drafts(home: string): string[] {
  const ingest = `${home}/ingest`;
  return existsSync(ingest) ? readdirSync(ingest) : [];
}
