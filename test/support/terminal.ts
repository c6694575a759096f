/**
 * A program on a real terminal: tmux's, whose screen can be read.
 * Invariant: when it is disposed of, its tmux server and every process on the terminal are gone.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { mustRun, run } from './command.ts';

export interface Terminal extends AsyncDisposable {
  /** Types a line and Enter. */
  line(text: string): Promise<void>;
  /** Presses a key by tmux's name: `C-c`. */
  key(name: string): Promise<void>;
  /** All that is to be read, from the first line that was written. */
  screen(): Promise<string>;
  /** Waits until a line of its own says this; rejects with the screen after a minute. */
  shows(pattern: RegExp): Promise<string>;
  resize(columns: number, rows: number): Promise<void>;
}

/** Starts a shell with the prompt `host>` on it. */
export async function terminal(
  directory: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Terminal> {
  const server = `tsbuild-${process.pid}-${randomBytes(4).toString('hex')}`;
  const tmux = (...args: string[]) => mustRun('tmux', ['-u', '-L', server, '-f', '/dev/null', ...args], { env });
  const screen = async () => (await tmux('capture-pane', '-p', '-J', '-S', '-')).text.trimEnd();
  await tmux('new-session', '-d', '-x', '120', '-y', '40', '-c', directory, "env PS1='host> ' ENV= sh");
  const shows = async (pattern: RegExp) => {
    let text = '';
    for (const start = Date.now(); Date.now() - start < 60_000; await sleep(50)) {
      text = await screen();
      if (pattern.test(text)) return text;
    }
    throw new Error(`the terminal never showed ${pattern}:\n${text}`);
  };
  await shows(/^host>/m);
  return {
    line: async (text) => {
      await tmux('send-keys', '-l', text);
      await tmux('send-keys', 'Enter');
    },
    key: async (name) => {
      await tmux('send-keys', name);
    },
    screen,
    shows,
    resize: async (columns, rows) => {
      await tmux('resize-window', '-x', String(columns), '-y', String(rows));
    },
    async [Symbol.asyncDispose]() {
      await run('tmux', ['-L', server, 'kill-server']);
    },
  };
}
