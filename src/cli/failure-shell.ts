/** The shell of `--on-error=shell`: the failure on the screen, then the terminal is the shell's until it ends. */
import type { BuildPorts, FailedRun } from '../builder/index.ts';
import { isTsbuildError, Limiter } from '../core/index.ts';
import { runAttached } from './attached-run.ts';
import { renderError } from './render-error.ts';
import type { Session } from './session.ts';
import { styleFor, wantsColour } from './style.ts';

/**
 * Steps that fail at the same time get the terminal one after the other.
 * @param suspend takes the progress display off the screen
 */
export function failureShell(session: Session, suspend: () => () => void): NonNullable<BuildPorts['onRunFailed']> {
  const terminal = new Limiter(1);
  return (failure) =>
    terminal.run(failure.signal, async () => {
      const resume = suspend();
      try {
        await openShell(session, failure);
      } finally {
        resume();
      }
    });
}

async function openShell(session: Session, { error, openShell: open }: FailedRun): Promise<void> {
  const { stderr, env } = session;
  const options = { colour: wantsColour(env, stderr.isTTY), columns: stderr.columns, debug: false };
  const style = styleFor(options.colour);
  stderr.write(`\n${renderError(error, options)}`);
  stderr.write(style.bold('A shell where it failed; what it changes is thrown away. exit goes on.\n'));
  try {
    await runAttached(session, { input: true, terminal: true }, (streams) => open({ ...streams, term: env.TERM }));
  } catch (shellError) {
    // The step's failure is the one the build ends with.
    if (!isTsbuildError(shellError)) throw shellError;
    stderr.write(renderError(shellError, options));
  }
  stderr.write('\n');
}
