/** Drawing a failure; what that takes is imported when there is one. */
import { systemErrorCode } from '../core/index.ts';
import type { Session } from './session.ts';

/** Draws a failure on stderr and gives its exit code. When the reader of stdout is gone, nobody is there to be told. */
export async function reportFailure(error: unknown, session: Session): Promise<number> {
  const [{ renderError }, { wantsColour }, { exitCodeOf }] = await Promise.all([
    import('./render-error.ts'),
    import('./style.ts'),
    import('./exit-code.ts'),
  ]);
  const { stderr, env, signal } = session;
  if (systemErrorCode(signal.reason) === 'EPIPE') return 141;
  stderr.write(
    renderError(error, {
      colour: wantsColour(env, stderr.isTTY),
      columns: stderr.isTTY ? stderr.columns : 120,
      debug: env.TSBUILD_DEBUG !== undefined && env.TSBUILD_DEBUG !== '' && env.TSBUILD_DEBUG !== '0',
    }),
  );
  return exitCodeOf(error);
}
