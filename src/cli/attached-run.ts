/**
 * A step attached to this process: its output is ours, so are its exit code and the signals that arrive meanwhile.
 * Invariant: the third signal that asks it to end, or a reader that goes away, ends it in any case.
 */
import { constants } from 'node:os';
import type { RunOptions, StepResult } from '../sandbox/index.ts';
import type { Session } from './session.ts';

const ending: ReadonlySet<string> = new Set(['SIGINT', 'SIGTERM']);

/** Resolves to the exit code, 128 + n for signal n. */
export async function runAttached(
  session: Session,
  attach: NonNullable<RunOptions['attach']>,
  run: (options: RunOptions) => Promise<StepResult>,
): Promise<number> {
  const { stdoutStream, stderr, signal } = session;
  const impatience = new AbortController();
  let send: (name: NodeJS.Signals) => void = () => {};
  let asked = 0;
  let last: NodeJS.Signals | undefined;
  const giveBack = session.takeSignals((name) => {
    last = name;
    if (ending.has(name)) asked += 1;
    if (asked === 3) impatience.abort();
    else send(name);
  });
  try {
    const result = await run({
      signal: AbortSignal.any([signal, impatience.signal]),
      attach,
      onStart: (sendSignal) => {
        send = sendSignal;
      },
      onOutput: (stream, chunk) => (stream === 'stderr' ? stderr.write(chunk) : written(stdoutStream, chunk)),
    });
    if (result.exit.kind === 'out-of-memory') {
      const { limit } = result.exit;
      const which = limit === undefined ? 'of a control group above it was reached' : `is ${limit} bytes`;
      stderr.write(`tsbuild: the command ran out of memory: the limit ${which}\n`);
    }
    return codeOf(result);
  } catch (error) {
    if (impatience.signal.aborted && last !== undefined) return 128 + constants.signals[last];
    throw error;
  } finally {
    giveBack();
  }
}

/** Settles when the stream takes more, or never will. */
function written(stream: NodeJS.WritableStream, chunk: Uint8Array): Promise<void> | undefined {
  if (stream.write(chunk)) return undefined;
  return new Promise((resolve) => {
    const done = () => {
      for (const event of ['drain', 'close', 'error']) stream.off(event, done);
      resolve();
    };
    for (const event of ['drain', 'close', 'error']) stream.on(event, done);
  });
}

function codeOf({ exit }: StepResult): number {
  switch (exit.kind) {
    case 'exited':
      return exit.code;
    case 'killed':
      return 128 + (Object.entries(constants.signals).find(([name]) => name === exit.signal)?.[1] ?? 0);
    case 'out-of-memory':
      return 137;
  }
}
