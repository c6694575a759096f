import { isatty } from 'node:tty';
/**
 * The process as a command sees it: environment, streams, and one signal that says stop.
 * Invariant: nothing in `cli` but this file, `ask.ts` and `main.ts` touches the streams, environment and arguments of `process`.
 */

export interface Terminal {
  readonly isTTY: boolean;
  readonly columns: number;
  readonly rows: number;
  write(text: string | Uint8Array): void;
}

export type SignalTaker = (name: NodeJS.Signals) => void;

export interface Session {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: () => AsyncIterable<Uint8Array>;
  readonly stdinIsTerminal: boolean;
  readonly stdout: Terminal;
  /** For results that are streamed: an archive on `-`. */
  readonly stdoutStream: NodeJS.WritableStream;
  readonly stderr: Terminal;
  readonly signal: AbortSignal;
  /** Until the returned function is called, signals to this process go to `taker` and stop nothing else. */
  readonly takeSignals: (taker: SignalTaker) => () => void;
  /** The program and its arguments, to run it again. */
  readonly command: readonly string[];
  /** Numeric ID of the user. */
  readonly user: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** The session of this very process. */
export function processSession({ signal, takeSignals }: Pick<Session, 'signal' | 'takeSignals'>): Session {
  return {
    env: process.env,
    stdin: () => process.stdin,
    get stdinIsTerminal() {
      // The stream itself is made by whoever reads it.
      return isatty(0);
    },
    stdout: terminalOf(process.stdout),
    get stdoutStream() {
      return process.stdout;
    },
    stderr: terminalOf(process.stderr),
    signal,
    takeSignals,
    command: [process.execPath, ...process.execArgv, ...process.argv.slice(1)],
    user: process.getuid?.() ?? 0,
    now: Date.now,
  };
}

function terminalOf(stream: NodeJS.WriteStream): Terminal {
  return {
    get isTTY() {
      return stream.isTTY === true;
    },
    get columns() {
      return stream.columns > 0 ? stream.columns : 80;
    },
    get rows() {
      return stream.rows > 0 ? stream.rows : 24;
    },
    write: (text) => void stream.write(text),
  };
}
