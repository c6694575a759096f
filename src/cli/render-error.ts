/**
 * A failure as a person reads it: what failed, the Dockerfile around it with a caret, the step's last lines, and what to do.
 * Invariant: no stack trace, and no control character of hostile text.
 */
import { isTsbuildError, type SourceLocation, systemErrorCode } from '../core/index.ts';
import { cutToWidth, printable, type Style, styleFor, widthOf } from './style.ts';

export interface RenderErrorOptions {
  readonly colour: boolean;
  /** Width of the terminal; lines of the excerpt are cut to it. */
  readonly columns: number;
  /** Also the chain of causes, with stacks: TSBUILD_DEBUG=1. */
  readonly debug: boolean;
}

const contextLines = 2;
const longestRange = 8;

/** Ends with a newline. */
export function renderError(error: unknown, options: RenderErrorOptions): string {
  const style = styleFor(options.colour);
  const known = isTsbuildError(error) ? error : undefined;
  const lines = [
    `${style.red.bold('error')}${style.bold(`: ${messageOf(error)}`)}${known ? style.dim(` [${known.code}]`) : ''}`,
  ];
  if (known?.source) lines.push(...excerpt(known.source, style, options.columns));
  if (known && known.log.length > 0) {
    lines.push(style.dim('the last lines it printed:'));
    lines.push(...known.log.map((line) => `${style.dim('  │')} ${printable(line)}`));
  }
  if (known?.hint !== undefined) lines.push(`${style.cyan.bold('hint')}: ${printableLines(known.hint)}`);
  if (!known && systemErrorCode(error) === undefined) {
    lines.push(
      `${style.cyan.bold('hint')}: This is a bug in tsbuild. Run again with TSBUILD_DEBUG=1 and report what it prints.`,
    );
  }
  if (options.debug) lines.push(...causes(error, style));
  return `${lines.join('\n')}\n`;
}

/**
 * Lines around a range with their numbers, and a caret line below its first line:
 * ```
 *   ╭─ Dockerfile:3:5
 * 3 │ RUN make
 *   │     ^^^^
 * ```
 */
export function excerpt(source: SourceLocation, style: Style, columns: number): string[] {
  const { start, end } = source.range;
  const text = source.text.split('\n').map((line) => line.replace(/\r$/, ''));
  // An exclusive end at the first column means that the range ends with the line before it.
  const lastLine = Math.max(start.line, end.column <= 1 ? end.line - 1 : end.line);
  const shownLast = Math.min(lastLine, start.line + longestRange - 1);
  const from = Math.max(1, start.line - contextLines);
  const to = Math.min(text.length, shownLast + (shownLast === lastLine ? 1 : 0));
  const gutter = String(to).length;
  const room = Math.max(20, columns - gutter - 4);
  const bar = style.blue('│');
  const lines = [
    `${' '.repeat(gutter + 1)}${style.blue('╭─')} ${printable(source.file)}:${start.line}:${start.column}`,
  ];
  for (let number = from; number <= to; number += 1) {
    const line = text[number - 1] ?? '';
    if (number === to && number > lastLine && line.trim() === '') break;
    const marked = number >= start.line && number <= lastLine;
    const shown = cutToWidth(printable(line), room);
    lines.push(`${style.blue(String(number).padStart(gutter))} ${bar} ${marked ? shown : style.dim(shown)}`.trimEnd());
    if (number === start.line) {
      const first = widthOf(printable(line.slice(0, start.column - 1)));
      const until = lastLine === start.line && end.line === start.line ? end.column - 1 : line.trimEnd().length;
      const length = Math.max(1, widthOf(printable(line.slice(start.column - 1, until))));
      const caret = '^'.repeat(Math.max(1, Math.min(length, room - first)));
      if (first < room) lines.push(`${' '.repeat(gutter)} ${bar} ${' '.repeat(first)}${style.red.bold(caret)}`);
    }
  }
  if (shownLast < lastLine)
    lines.push(`${' '.repeat(gutter)} ${bar} ${style.dim(`… ${lastLine - shownLast} more lines`)}`);
  return lines;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return printableLines(String(error));
  return printableLines(error.message === '' ? error.name : error.message);
}

function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n  ');
}

function causes(error: unknown, style: Style): string[] {
  const lines: string[] = [];
  let current: unknown = error;
  for (let depth = 0; current !== undefined && depth < 10; depth += 1) {
    const text = current instanceof Error ? (current.stack ?? current.message) : String(current);
    lines.push(
      ...`${depth === 0 ? '' : 'caused by: '}${text}`.split('\n').map((line) => style.dim(`  ${printable(line)}`)),
    );
    current = current instanceof Error ? current.cause : undefined;
  }
  return lines;
}
