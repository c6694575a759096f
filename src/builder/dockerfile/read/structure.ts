/**
 * What dockerfile-ast gives: the instruction names, and the words and ranges of a joined logical line, where the line is
 * plain. It is fed one line at a time. What it reads differently from BuildKit is decided elsewhere in this room:
 * joining, heredocs, flags, the JSON form, quotes, every error; each module says why.
 * One call costs about 20 us until it is compiled, and several copies of the text: 90 ms for a file of 5,000 lines,
 * seconds for one of 1 MB. So it reads FROM and VOLUME, which are lists of words and few; the keyword of each line,
 * which ends at the first white space, is cut here.
 */
import { DockerfileParser, Keyword } from 'dockerfile-ast';
import { isWordBreak, skipSpace } from '../expand/white-space.ts';
import { type Piece, splitBlank } from './words.ts';

/** Upper case, in alphabetical order. */
export const instructionNames: readonly string[] = Object.values(Keyword);

export interface LineStructure {
  /** As written; '' for a line that is only an escape character. */
  readonly keyword: string;
  /** Offset of the first argument or flag; the line's length without any. */
  readonly argumentsAt: number;
}

/** @param from offset of the keyword: 0, or after ONBUILD */
export function lineStructure(line: string, from: number): LineStructure {
  let end = from;
  while (end < line.length && !isWordBreak(line.charCodeAt(end))) end += 1;
  return { keyword: line.slice(from, end), argumentsAt: skipSpace(line, end) };
}

/** UTF-16 code units. */
const longestLine = 1024;

/**
 * The words of a list (FROM, VOLUME), flags left out.
 * @param from where they begin; @param to where they end
 */
export function lineWords(line: string, from: number, to: number): Piece[] {
  if (to > longestLine || !/^[\w\t $./:@=+,{}-]*$/.test(line.slice(0, to))) return splitBlank(line, from, to);
  const [instruction] = DockerfileParser.parse(line.slice(0, to)).getInstructions();
  if (instruction === undefined) return splitBlank(line, from, to);
  return instruction.getArguments().flatMap((word) => {
    const { start, end } = word.getRange();
    return start.character < from ? [] : [{ text: word.getValue(), start: start.character, end: end.character }];
  });
}
