/** Whether a step did as its behaviour says. */
import { expect } from 'vitest';
import type { Answer } from '../protocol.ts';
import type { Behaviour } from './behaviour.ts';

export function check(answer: Answer, { expect: expected }: Behaviour): void {
  const context = JSON.stringify({ error: answer.error, stderr: answer.stderr, stdout: answer.stdout?.slice(0, 500) });
  if (expected.error !== undefined) {
    expect(expected.error.split('|'), context).toContain(answer.error?.code);
    if (expected.message) expect(answer.error?.message).toMatch(expected.message);
    return;
  }
  const exit =
    expected.killed === undefined
      ? { kind: 'exited', code: expected.code ?? 0 }
      : { kind: 'killed', signal: expected.killed };
  expect(answer.result?.exit, context).toEqual(exit);
  const stdout = answer.stdout?.trim();
  if (typeof expected.stdout === 'string') expect(stdout, context).toBe(expected.stdout);
  else if (expected.stdout) expect(stdout, context).toMatch(expected.stdout);
  if (expected.stderr) expect(answer.stderr).toMatch(expected.stderr);
  if (expected.left) expect(answer.left).toEqual(expected.left);
}
