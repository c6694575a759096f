/** Chooses the renderer for a run and drives its redraws. */
import type { EventSink, TsbuildEvent } from '../../core/index.ts';
import type { ProgressKind } from '../args/progress-flag.ts';
import { styleFor } from '../style.ts';
import { PlainRenderer } from './plain.ts';
import { RawJsonRenderer } from './rawjson.ts';
import { TtyRenderer } from './tty.ts';

export interface ProgressTarget {
  readonly isTTY: boolean;
  readonly columns: number;
  readonly rows: number;
  readonly colour: boolean;
  readonly write: (text: string) => void;
  readonly now: () => number;
}

export interface Progress {
  readonly sink: EventSink;
  /** Leaves the screen to someone else until the returned function is called; what happens meanwhile is shown then. */
  readonly suspend: () => () => void;
  /** Stops redrawing and leaves the final state on the screen. May be called twice. */
  readonly close: () => void;
}

/**
 * @param verb what is being done, for the head line: `Building`
 * @param target read anew at each redraw, for its size
 */
export function startProgress(kind: ProgressKind, verb: string, target: ProgressTarget): Progress {
  const { write, now } = target;
  const chosen = kind === 'auto' ? (target.isTTY ? 'tty' : 'plain') : kind;
  const style = styleFor(target.colour);
  switch (chosen) {
    case 'quiet':
      return { sink: () => {}, suspend: () => () => {}, close: () => {} };
    case 'rawjson': {
      const renderer = new RawJsonRenderer({ write, now });
      return { sink: (event) => renderer.handle(event), suspend: () => () => {}, close: () => renderer.close() };
    }
    case 'plain': {
      const lines = new Gathering(write);
      const renderer = new PlainRenderer({
        write: (text) => lines.add(text),
        now,
        isTerminal: target.isTTY,
        emphasise: (text) => style.yellow(text),
      });
      const flush = () => lines.flush();
      const close = () => {
        renderer.close();
        flush();
      };
      return driven({ handle: (event) => renderer.handle(event), leave: flush, close }, 250, () => renderer.tick());
    }
    case 'tty': {
      const size = () => ({ columns: target.columns, rows: target.rows });
      const renderer = new TtyRenderer({ write, now, style, size, verb });
      return driven(renderer, 100, () => renderer.draw());
    }
  }
}

/** Writes what one turn of the event loop brings in one piece: a cached step takes less time than two writes. */
class Gathering {
  readonly #write: (text: string) => void;
  #text = '';

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  add(text: string): void {
    if (this.#text === '') setImmediate(() => this.flush());
    this.#text += text;
  }

  flush(): void {
    const text = this.#text;
    this.#text = '';
    if (text !== '') this.#write(text);
  }
}

function driven(
  renderer: { handle: EventSink; leave?: () => void; close: () => void },
  interval: number,
  tick: () => void,
): Progress {
  let suspended: TsbuildEvent[] | undefined;
  const timer = setInterval(() => suspended ?? tick(), interval);
  timer.unref();
  let open = true;
  const resume = () => {
    const missed = suspended ?? [];
    suspended = undefined;
    for (const event of missed) renderer.handle(event);
  };
  return {
    sink: (event) => {
      if (suspended) suspended.push(event);
      else if (open) renderer.handle(event);
    },
    suspend: () => {
      tick();
      renderer.leave?.();
      suspended ??= [];
      return resume;
    },
    close: () => {
      if (!open) return;
      resume();
      open = false;
      clearInterval(timer);
      renderer.close();
    },
  };
}
