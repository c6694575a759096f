/** Chooses the renderer for a run and drives its redraws. */
import type { EventSink } from '../../core/index.ts';
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
      return { sink: () => {}, close: () => {} };
    case 'rawjson': {
      const renderer = new RawJsonRenderer({ write, now });
      return { sink: (event) => renderer.handle(event), close: () => renderer.close() };
    }
    case 'plain': {
      const renderer = new PlainRenderer({
        write,
        now,
        isTerminal: target.isTTY,
        emphasise: (text) => style.yellow(text),
      });
      return driven(renderer, 250, () => renderer.tick());
    }
    case 'tty': {
      const size = () => ({ columns: target.columns, rows: target.rows });
      const renderer = new TtyRenderer({ write, now, style, size, verb });
      return driven(renderer, 100, () => renderer.draw());
    }
  }
}

function driven(renderer: { handle: EventSink; close: () => void }, interval: number, tick: () => void): Progress {
  const timer = setInterval(tick, interval);
  timer.unref();
  let open = true;
  return {
    sink: (event) => {
      if (open) renderer.handle(event);
    },
    close: () => {
      if (!open) return;
      open = false;
      clearInterval(timer);
      renderer.close();
    },
  };
}
