/**
 * The `tsbuild` program, started by `launch.ts`: signals, streams that break, the exit code.
 * Invariant: nothing is imported here that a command may not need; see `command.ts`.
 */
import { TsbuildError } from '../core/index.ts';
import { run } from './run.ts';
import { processSession, type SignalTaker } from './session.ts';

const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** A command that takes signals gets these as well; left alone they end this process, as ever. */
const furtherSignals = ['SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;

/** Milliseconds. */
const oneKeyPress = 300;

void main();

/** Ends the process: pools of connections and worker threads must not hold it open. */
async function main(): Promise<never> {
  const controller = new AbortController();
  let stopped: number | undefined;
  let firstAt = 0;
  let taker: SignalTaker | undefined;
  for (const [name, number] of Object.entries(signalNumbers)) {
    process.on(name, (received: NodeJS.Signals) => {
      if (taker) return taker(received);
      // One Ctrl-C can arrive twice: from the terminal, and passed on by the process that started this one.
      if (stopped !== undefined && Date.now() - firstAt < oneKeyPress) return;
      if (stopped !== undefined) exit(stopped);
      stopped = 128 + number;
      firstAt = Date.now();
      controller.abort(new TsbuildError({ code: 'interrupted', message: `stopped by ${name}` }));
    });
  }
  // A reader that went away (`tsbuild images | head -1`) is no failure worth words: stop, as SIGPIPE would.
  process.stdout.on('error', (error) => {
    stopped ??= 128 + 13;
    controller.abort(error);
  });
  process.stderr.on('error', () => {});
  const takeSignals = (next: SignalTaker) => {
    taker = next;
    const pass = (name: NodeJS.Signals) => next(name);
    for (const name of furtherSignals) process.on(name, pass);
    return () => {
      taker = undefined;
      for (const name of furtherSignals) process.off(name, pass);
    };
  };
  const code = await run(process.argv.slice(2), processSession({ signal: controller.signal, takeSignals }));
  for (const stream of [process.stdout, process.stderr]) await written(stream);
  exit(stopped ?? code);
}

/** Ending the process throws away what a slow reader of a pipe has not taken yet. */
async function written(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.writableLength === 0 || stream.destroyed) return;
  await new Promise<void>((resolve) => stream.write('', () => resolve()));
}

function exit(status: number): never {
  if (process.stderr.isTTY) process.stderr.write('\u001b[?25h');
  process.exit(status);
}
