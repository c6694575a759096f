/**
 * Where a logical line's keyword ends and its arguments begin, by dockerfile-ast. It is fed one joined line at a time
 * (joining, heredocs, flags, JSON and words are decided elsewhere in this room; see there for why).
 * Its cost grows with several copies of the text, so a very long line is cut by the rule it agrees with on all others:
 * the keyword ends at the first white space.
 */
import { DockerfileParser } from 'dockerfile-ast';
import { isWordBreak, skipSpace } from '../expand/white-space.ts';

export interface LineStructure {
  /** As written; '' for a line that is only an escape character. */
  readonly keyword: string;
  /** Offset of the first argument or flag; the line's length without any. */
  readonly argumentsAt: number;
}

/** UTF-16 code units. */
const longLine = 4096;

export function lineStructure(line: string, from = 0): LineStructure {
  const keywordEnd = (from === 0 ? fromLibrary(line) : undefined) ?? firstBlank(line, from);
  return { keyword: line.slice(from, keywordEnd), argumentsAt: skipSpace(line, keywordEnd) };
}

function fromLibrary(line: string): number | undefined {
  if (line.length > longLine) return undefined;
  const [instruction] = DockerfileParser.parse(line).getInstructions();
  const end = instruction?.getInstructionRange().end;
  if (end === undefined || end.line !== 0) return undefined;
  // An escape character ends the keyword for the library alone (`RUN\x`).
  const next = line.charCodeAt(end.character);
  return Number.isNaN(next) || isWordBreak(next) ? end.character : undefined;
}

function firstBlank(line: string, from: number): number {
  let at = from;
  while (at < line.length && !isWordBreak(line.charCodeAt(at))) at += 1;
  return at;
}
