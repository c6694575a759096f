/** The step's wire form: what TypeScript writes the helper reads, and nothing a mutation does breaks its parser. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { encodeSpec } from '../../src/sandbox/encode-spec.ts';
import type { StepSpec } from '../../src/sandbox/index.ts';
import { mustRun } from '../support/command.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const native = fileURLToPath(new URL('../../src/sandbox/native/', import.meta.url));
const harness = fileURLToPath(new URL('fuzz-spec.c', import.meta.url));
/** What libFuzzer found to reach all of the parser; fuzz-spec.c says how it is run. */
const corpus = fileURLToPath(new URL('spec-corpus/', import.meta.url));

const step: StepSpec = {
  rootfs: { kind: 'overlay', lowers: ['/l1', '/l2'], upper: '/u', work: '/w' },
  args: ['/bin/sh', '-c', 'true'],
  env: ['A=1'],
  cwd: '/',
  user: 'app:staff',
  hostname: 'host',
  network: 'none',
  security: 'sandbox',
  mounts: [
    { kind: 'bind', root: '/src', source: '/', target: '/m', readOnly: true },
    {
      kind: 'bind',
      root: { kind: 'overlay', lowers: ['/x'], upper: '', work: '' },
      source: '/',
      target: '/n',
      readOnly: false,
    },
    { kind: 'tmpfs', target: '/t', size: 100 },
    { kind: 'secret', target: '/s', content: Buffer.from([0, 1, 2]), mode: 0o400, uid: 0, gid: 0 },
  ],
  extraHosts: [],
  limits: { ulimits: [{ name: 'nofile', soft: -1, hard: 10 }] },
};

function encoded(change: Partial<StepSpec> = {}): Buffer {
  return encodeSpec(
    { ...step, ...change },
    {
      rung: 'root',
      parent: 1,
      graceMilliseconds: 10,
      singleId: false,
      legacyMounts: false,
      held: false,
      network: 'none',
      resolvConf: 'r',
      hosts: 'h',
      cgroupFiles: ['/c'],
    },
  );
}

test('a text with a NUL is refused before it reaches the helper', () => {
  expect(() => encoded({ args: ['a\0b'] })).toThrow(expect.objectContaining({ code: 'sandbox-step-invalid' }));
});

test('the parser reads what is written, and mutations of it never make it read or write out of bounds', async () => {
  await using folder = temporaryFolder('fuzz-spec');
  const program = folder.join('fuzz');
  const flags = ['-std=c11', '-Wall', '-Wextra', '-Wpedantic', '-Werror', '-D_GNU_SOURCE', '-g', '-O1'];
  await mustRun('cc', [
    ...flags,
    '-fsanitize=address,undefined',
    '-fno-sanitize-recover=all',
    `-I${native}`,
    '-o',
    program,
    harness,
    `${native}spec.c`,
  ]);
  const written = folder.join('written');
  writeFileSync(written, encoded().subarray(8));
  const found = readdirSync(corpus).map((name) => join(corpus, name));
  const untouched = await mustRun(program, ['0', '1', written]);
  expect(untouched.text).toMatch(/^accepted 1 of 1 untouched/);
  const fuzzed = await mustRun(program, ['200000', String(Date.now() % 1_000_000), written, ...found]);
  const mutated = Number(/(\d+) mutated/.exec(fuzzed.text)?.[1]);
  expect(mutated).toBeGreaterThan(0);
  expect(mutated).toBeLessThan(200_000);
});
