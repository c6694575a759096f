/** Runs a piece of work with its progress on stderr, and says what a first Ctrl-C does. */
import type { EventSink } from '../core/index.ts';
import type { ProgressKind } from './args/progress-flag.ts';
import { type Progress, startProgress } from './progress/index.ts';
import type { Session } from './session.ts';
import { wantsColour } from './style.ts';

/** @param verb for the head line of the live display: `Building` */
export async function withProgress<T>(
  session: Session,
  kind: ProgressKind,
  verb: string,
  work: (events: EventSink, suspend: Progress['suspend']) => Promise<T>,
): Promise<T> {
  const { stderr, env, signal, now } = session;
  const progress = startProgress(kind, verb, {
    get isTTY() {
      return stderr.isTTY && env.TERM !== 'dumb';
    },
    get columns() {
      return stderr.columns;
    },
    get rows() {
      return stderr.rows;
    },
    colour: wantsColour(env, stderr.isTTY),
    write: (text) => stderr.write(text),
    now,
  });
  const announce = () => progress.sink({ kind: 'notice', level: 'info', message: 'stopping; once more stops at once' });
  signal.addEventListener('abort', announce, { once: true });
  try {
    return await work(progress.sink, progress.suspend);
  } finally {
    signal.removeEventListener('abort', announce);
    progress.close();
  }
}
