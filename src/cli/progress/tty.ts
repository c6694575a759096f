/**
 * Live progress on a terminal: the picture is redrawn in place ten times a second, and once more in full at the end.
 * Only lines that changed are written again, so that a slow connection is not flooded.
 * Invariant: between two writes the cursor stands at the start of the line below the picture; no line of it is wider than the terminal.
 */
import type { TsbuildEvent } from '../../core/index.ts';
import { printable, type Style } from '../style.ts';
import { drawFrame } from './frame.ts';
import type { ProgressRenderer, RendererOutput } from './renderer.ts';
import { StepBoard } from './step-board.ts';
import { WarningList } from './warning-list.ts';

export interface TtyOptions extends RendererOutput {
  readonly style: Style;
  /** Asked at every redraw: the window may change. */
  readonly size: () => { readonly columns: number; readonly rows: number };
  /** `Building`. */
  readonly verb: string;
}

const hideCursor = '\u001b[?25l';
const showCursor = '\u001b[?25h';
const clearLine = '\u001b[K';
const clearBelow = '\u001b[J';

export class TtyRenderer implements ProgressRenderer {
  readonly #options: TtyOptions;
  readonly #board: StepBoard;
  readonly #warnings = new WarningList();
  #shown: string[] = [];
  #shownColumns = 0;
  #above: string[] = [];
  #hidden = false;
  #closed = false;

  constructor(options: TtyOptions) {
    this.#options = options;
    this.#board = new StepBoard(options.now);
  }

  handle(event: TsbuildEvent): void {
    this.#board.handle(event);
    if (event.kind !== 'notice') return;
    if (event.level === 'warning' && event.source !== undefined) {
      this.#warnings.add(event);
      return;
    }
    const mark = event.level === 'warning' ? `${this.#options.style.yellow.bold('warning')}: ` : '';
    this.#above.push(`${mark}${printable(event.message)}`);
  }

  /** Draws the present state; called by a timer. */
  draw(): void {
    if (this.#closed || (this.#board.steps.length === 0 && this.#above.length === 0)) return;
    const size = this.#options.size();
    this.#replace(this.#frame(size.columns, Math.max(2, size.rows - 1)), size.columns);
  }

  /** The picture stays; the next one is drawn below whatever comes after it. */
  leave(): void {
    if (this.#hidden) this.#options.write(showCursor);
    this.#hidden = false;
    this.#shown = [];
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const { columns } = this.#options.size();
    const lines = this.#board.steps.length === 0 ? [] : this.#frame(columns, undefined);
    const warnings = this.#warnings.render();
    this.#shownColumns = 0;
    this.#replace([...lines, ...warnings.map((line) => this.#options.style.yellow(line))], columns);
    if (this.#hidden) this.#options.write(showCursor);
  }

  #frame(columns: number, rows: number | undefined): string[] {
    const { now, style, verb } = this.#options;
    if (this.#board.steps.length === 0) return [];
    return drawFrame(this.#board, { columns, rows, now: now(), style, verb });
  }

  #replace(lines: string[], columns: number): void {
    const unchanged = columns === this.#shownColumns && this.#above.length === 0 && lines.length >= this.#shown.length;
    let text = this.#hidden ? '' : hideCursor;
    if (this.#shown.length > 0) text += `\u001b[${this.#shown.length}A\r`;
    if (unchanged) {
      text += lines.map((line, row) => (line === this.#shown[row] ? '\n' : `${line}${clearLine}\n`)).join('');
    } else {
      text += clearBelow + [...this.#above, ...lines].map((line) => `${line}\n`).join('');
    }
    this.#hidden = true;
    this.#above = [];
    this.#shown = lines;
    this.#shownColumns = columns;
    this.#options.write(text);
  }
}
