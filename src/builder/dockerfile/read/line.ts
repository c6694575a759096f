/** What every reader of an instruction gets: its logical line, cut into keyword, flags and arguments. */
import type { Range } from '../../../core/index.ts';
import type { LogicalLine } from '../text/lines.ts';
import type { Word } from '../types.ts';
import type { JsonForm } from './json-array.ts';
import type { Report } from './report.ts';
import type { Piece } from './words.ts';

export interface InstructionLine {
  readonly line: LogicalLine;
  readonly keyword: string;
  /** Upper case, for messages. */
  readonly name: string;
  readonly keywordRange: Range;
  readonly flags: readonly Piece[];
  /** Offsets of the arguments in the line's text, without outer white space. */
  readonly from: number;
  readonly to: number;
  /** The arguments' text. */
  readonly rest: string;
  readonly json: JsonForm;
  readonly escape: '\\' | '`';
  readonly report: Report;
  /** Range in the source of offsets in the line. */
  range(start: number, end: number): Range;
}

export function wordOf(on: InstructionLine, piece: Piece): Word {
  return { raw: piece.text, range: on.range(piece.start, piece.end) };
}

/** All arguments as one word. */
export function restWord(on: InstructionLine): Word {
  return { raw: on.rest, range: on.range(on.from, on.to) };
}

/** The range of the arguments, or of the keyword when there are none. */
export function argumentsRange(on: InstructionLine): Range {
  return on.from < on.to ? on.range(on.from, on.to) : on.keywordRange;
}
