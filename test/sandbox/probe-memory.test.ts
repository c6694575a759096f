import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ignoreEvents } from '../../src/core/index.ts';
import { createSandbox, type ProbeMemory, type Sandbox, type StepSpec } from '../../src/sandbox/index.ts';
import { temporaryFolder } from '../support/store.ts';

function memory(works: boolean): ProbeMemory & { readonly kept: [string, boolean][] } {
  const kept: [string, boolean][] = [];
  return {
    kept,
    recall: async () => works,
    keep: async (circumstances, value) => {
      kept.push([circumstances, value]);
    },
  };
}

async function open(remembered: ProbeMemory, scratch: string): Promise<Sandbox> {
  const sandbox = await createSandbox({ isolation: 'root', events: ignoreEvents, scratch, memory: remembered });
  onTestFinished(() => sandbox.close());
  return sandbox;
}

test('a probe that found a rung to work is remembered, and not run where that is known', async () => {
  const scratch = temporaryFolder('tsbuild-probe-memory-');
  const first = memory(false);
  await open(first, scratch);
  expect(first.kept.map(([, works]) => works)).toEqual([true]);
  expect(first.kept[0]?.[0]).toContain('"root"');

  const second = memory(true);
  // A probe would need the folder.
  await open(second, join(scratch, 'not there'));
  expect(second.kept).toEqual([]);
});

test('a step that cannot be set up makes what was remembered forgotten', async () => {
  const scratch = temporaryFolder('tsbuild-probe-memory-');
  const remembered = memory(true);
  const sandbox = await open(remembered, scratch);
  const step: StepSpec = {
    rootfs: { kind: 'directory', path: join(scratch, 'not there') },
    args: ['/true'],
    env: [],
    cwd: '/',
    user: '',
    hostname: 'step',
    network: 'none',
    security: 'sandbox',
    mounts: [],
    extraHosts: [],
    limits: {},
  };
  const running = sandbox.run(step, { signal: new AbortController().signal, onOutput: () => {} });
  await expect(running).rejects.toMatchObject({ code: expect.stringMatching(/^sandbox-/) });
  expect(remembered.kept.map(([, works]) => works)).toEqual([false]);
});
