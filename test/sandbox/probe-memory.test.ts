import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { probeMemory } from '../../src/builder/index.ts';
import { ignoreEvents } from '../../src/core/index.ts';
import { createSandbox, type ProbeMemory, type Sandbox, type StepSpec } from '../../src/sandbox/index.ts';
import { temporaryFolder, temporaryStore } from '../support/store.ts';

type Known = boolean | undefined;

function memory(works: Known): ProbeMemory & { readonly kept: [string, Known][] } {
  const kept: [string, Known][] = [];
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
  const first = memory(undefined);
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
  expect(remembered.kept.map(([, works]) => works)).toEqual([undefined]);
});

test('what a store remembers is a success until it is forgotten, and a failure for an hour', async () => {
  const store = await temporaryStore();
  let now = 1_000_000_000_000;
  const remembered = probeMemory(store, () => now);
  expect(await remembered.recall('here')).toBeUndefined();
  await remembered.keep('here', true);
  await remembered.keep('there', false);
  expect([await remembered.recall('here'), await remembered.recall('there')]).toEqual([true, false]);
  now += 3_600_000;
  expect([await remembered.recall('here'), await remembered.recall('there')]).toEqual([true, undefined]);
  await remembered.keep('here', undefined);
  expect(await remembered.recall('here')).toBeUndefined();
});
