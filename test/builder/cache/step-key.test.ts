import { describe, expect, test } from 'vitest';
import { stepKey } from '../../../src/builder/cache/index.ts';
import { parseDigest } from '../../../src/image/index.ts';

const below = parseDigest(`sha256:${'1'.repeat(64)}`);
const input = parseDigest(`sha256:${'2'.repeat(64)}`);
const linux = { os: 'linux', architecture: 'amd64' };
const base = {
  operation: { kind: 'run', args: ['/bin/sh', '-c', 'true'], env: ['A=1'] },
  below,
  inputs: [input],
  platform: linux,
};

describe('a step key', () => {
  test("is what it was in every released version: a change here empties everybody's cache and raises keyVersion", () => {
    expect(stepKey(base)).toBe('e0e04843199635fd75093d5897873ab5cbdc7f13dbc5fcb8f84a04cce24bc0f9');
  });

  test('does not depend on the order of members', () => {
    const { env, args, kind } = base.operation;
    expect(stepKey({ ...base, operation: { env, args, kind } })).toBe(stepKey(base));
  });

  test.each([
    ['the operation', { ...base, operation: { ...base.operation, env: ['A=2'] } }],
    ['what lies beneath', { ...base, below: input }],
    ['nothing beneath', { ...base, below: null }],
    ['an input', { ...base, inputs: [below] }],
    ['the order of inputs', { ...base, inputs: [input, below] }],
    ['a clamp of file times', { ...base, latestMtime: 1n }],
    ['the platform', { ...base, platform: { os: 'linux', architecture: 'arm64' } }],
  ])('changes with %s', (_, parts) => {
    expect(stepKey(parts)).not.toBe(stepKey(base));
  });
});
