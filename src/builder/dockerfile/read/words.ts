/**
 * How a logical line falls into words: by white space alone, or by white space outside quotes and escapes.
 * Invariant: pieces are in order, do not overlap, and lie between `from` and the end of the line.
 */
import { isSpace, isWordBreak } from '../expand/white-space.ts';

/** A part of a logical line; `text` may differ from the line where quotes were taken off. */
export interface Piece {
  readonly text: string;
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

/** Words separated by white space; quotes and escapes mean nothing. */
export function splitBlank(line: string, from: number, to: number): Piece[] {
  const pieces: Piece[] = [];
  let at = from;
  while (at < to) {
    while (at < to && isWordBreak(line.charCodeAt(at))) at += 1;
    if (at >= to) break;
    const start = at;
    while (at < to && !isWordBreak(line.charCodeAt(at))) at += 1;
    pieces.push({ text: line.slice(start, at), start, end: at });
  }
  return pieces;
}

/** Words as ENV, LABEL and ARG have them: quotes and escapes keep spaces in a word and stay in its text. */
export function splitQuoted(line: string, from: number, to: number, escapeCharacter: string): Piece[] {
  const pieces: Piece[] = [];
  let at = from;
  while (at < to) {
    while (at < to && isSpace(line.charCodeAt(at))) at += 1;
    if (at >= to) break;
    const start = at;
    let quote = '';
    let dropped = false;
    while (at < to) {
      const char = line.charAt(at);
      if (quote === '' && isSpace(line.charCodeAt(at))) break;
      if (char === escapeCharacter && quote !== "'") {
        // An escape at the very end escapes nothing and is not part of the word.
        if (at + 1 >= to) dropped = true;
        at += at + 1 < to ? 2 : 1;
        continue;
      }
      if (quote === '' && (char === "'" || char === '"')) quote = char;
      else if (char === quote) quote = '';
      at += 1;
    }
    at = Math.min(at, to);
    const text = line.slice(start, dropped ? at - 1 : at);
    if (text !== '') pieces.push({ text, start, end: at });
  }
  return pieces;
}
