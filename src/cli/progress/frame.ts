/** One picture of a run for a terminal: pure, from the board and the size of the screen to lines. */
import { cutToWidth, formatBytes, formatDuration, printable, type Style, widthOf } from '../style.ts';
import type { BoardStep, StepBoard, Transfer } from './step-board.ts';

export interface FrameOptions {
  readonly columns: number;
  /** Most lines; undefined: as many as it takes (the final picture). */
  readonly rows: number | undefined;
  readonly now: number;
  readonly style: Style;
  /** What is being done, for the head line: `Building`, `Pulling`. */
  readonly verb: string;
}

const spinner = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const mostLogLines = 6;
const mostTransfers = 6;

export function drawFrame(board: StepBoard, options: FrameOptions): string[] {
  const { style } = options;
  const elapsed = formatDuration(options.now - board.started);
  const counter = board.total > 0 ? ` (${board.finished}/${board.total})` : '';
  const head = style.bold(cutToWidth(`${options.verb} ${elapsed}${counter}`, options.columns - 1));
  const running = board.steps.filter((step) => step.outcome === undefined);
  if (options.rows === undefined) return [head, ...board.steps.flatMap((step) => drawStep(step, 0, options))];
  const finished = board.steps.filter((step) => step.outcome !== undefined);
  // What moves is shown first: the log of running steps gets what the step lines leave, then finished steps the rest.
  const room = Math.max(1, options.rows - 1);
  const shownRunning = running.slice(0, room);
  const logLines = Math.min(mostLogLines, Math.floor((room - shownRunning.length) / Math.max(1, shownRunning.length)));
  const live = new Map(shownRunning.map((step) => [step, drawStep(step, logLines, options)]));
  const used = [...live.values()].reduce((sum, lines) => sum + lines.length, 0);
  const forFinished = room - used;
  const folded = finished.length > forFinished;
  const keep = folded ? Math.max(0, forFinished - 1) : finished.length;
  const kept = new Set(finished.slice(finished.length - keep));
  const summary = folded && forFinished > 0 ? [style.dim(`   … ${finished.length - keep} more finished`)] : [];
  const lines = board.steps.flatMap((step) => live.get(step) ?? (kept.has(step) ? drawStep(step, 0, options) : []));
  return [head, ...summary, ...lines];
}

function drawStep(step: BoardStep, logLines: number, options: FrameOptions): string[] {
  const { style, columns } = options;
  const time = step.outcome === undefined ? options.now - step.started : step.milliseconds;
  const right = step.outcome === 'cached' ? 'CACHED' : step.outcome === 'cancelled' ? 'CANCELED' : formatDuration(time);
  const room = Math.max(8, columns - 1 - 3 - right.length - 1);
  const title = cutToWidth(printable(step.title), room);
  const padding = ' '.repeat(Math.max(1, columns - 1 - 3 - widthOf(title) - right.length));
  const line = ` ${markOf(step, options)} ${step.outcome === 'cached' ? style.dim(title) : title}${padding}${style.dim(right)}`;
  if (step.outcome !== undefined || logLines <= 0) return [line];
  return [line, ...transferLines(step, logLines, options), ...logTail(step, logLines, options)].slice(0, 1 + logLines);
}

function markOf(step: BoardStep, { style, now, rows }: FrameOptions): string {
  switch (step.outcome) {
    case undefined:
      // In the final picture nothing runs any more.
      return rows === undefined
        ? style.yellow('–')
        : style.cyan(spinner[Math.floor(now / 100) % spinner.length] ?? '*');
    case 'done':
    case 'cached':
      return style.green('✔');
    case 'failed':
      return style.red('✘');
    case 'cancelled':
      return style.yellow('–');
  }
}

function logTail(step: BoardStep, most: number, { style, columns }: FrameOptions): string[] {
  const partial = [step.stdout.partial, step.stderr.partial].map(lastState).filter((line) => line.trim() !== '');
  const lines = [...step.lines.map(lastState), ...partial].slice(-most);
  return lines.map((line) => style.dim(`   │ ${cutToWidth(line, columns - 6)}`));
}

/** A line that overwrites itself with carriage returns (a progress bar) as it looks now. */
function lastState(line: string): string {
  return printable(line.split('\r').findLast((part) => part.trim() !== '') ?? '');
}

function transferLines(step: BoardStep, most: number, options: FrameOptions): string[] {
  const all = [...step.transfers.values()];
  if (all.length === 0) return [];
  const pending = all.filter((transfer) => transfer.total === undefined || transfer.done < transfer.total);
  // What has not begun is counted only.
  const active = pending.filter((transfer) => transfer.done > 0);
  const shown = active.slice(0, Math.min(mostTransfers, Math.max(1, most - 1)));
  const lines = shown.map((transfer) => transferLine(transfer, options));
  const complete = all.length - pending.length;
  if (all.length > shown.length && lines.length < most) {
    lines.push(
      options.style.dim(
        cutToWidth(`   ${complete} of ${all.length} complete${totals(all, options.now)}`, options.columns - 1),
      ),
    );
  }
  return lines;
}

/** Bytes and rate of all transfers seen so far. */
function totals(all: readonly Transfer[], now: number): string {
  const sum = (value: (transfer: Transfer) => number) => all.reduce((whole, transfer) => whole + value(transfer), 0);
  const done = sum((transfer) => transfer.done);
  const seconds = (now - Math.min(...all.map(({ started }) => started))) / 1000;
  const moved = done - sum((transfer) => transfer.initially);
  const rate = seconds > 0.5 ? `  ${formatBytes(Math.round(moved / seconds))}/s` : '';
  return `, ${formatBytes(done)} / ${formatBytes(sum((transfer) => transfer.total ?? transfer.done))}${rate}`;
}

function transferLine(transfer: Transfer, { style, now, columns }: FrameOptions): string {
  const { done, total, started, initially } = transfer;
  const seconds = (now - started) / 1000;
  const rate = seconds > 0.5 ? `${formatBytes(Math.round((done - initially) / seconds))}/s` : '';
  const amount = total === undefined ? formatBytes(done) : `${formatBytes(done)} / ${formatBytes(total)}`;
  const name = cutToWidth(shortItem(printable(transfer.item)), Math.max(8, columns - 50));
  const bar = total === undefined || total === 0 || columns < 60 ? '' : `${progressBar(done / total, 16)} `;
  return cutToWidth(
    `   ${name.padEnd(Math.min(19, columns))} ${bar}${amount.padStart(17)}  ${rate}`.trimEnd(),
    columns - 1,
  )
    .replace(/█+/, (filled) => style.cyan(filled))
    .replace(/░+/, (empty) => style.dim(empty));
}

function shortItem(item: string): string {
  return item.replace(/(sha256:[0-9a-f]{12})[0-9a-f]+/, '$1');
}

function progressBar(fraction: number, cells: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * cells);
  return '█'.repeat(filled) + '░'.repeat(cells - filled);
}
