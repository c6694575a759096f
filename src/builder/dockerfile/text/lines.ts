/**
 * Physical lines to logical ones: continuations joined, comments and empty lines inside them dropped. Our own code and
 * not dockerfile-ast's, which continues a line that ends in two escape characters, does not continue one that is a lone
 * escape character, and keeps indented comments in the arguments.
 * Invariant: each character of a logical line knows its offset in the text; reading is linear in the text.
 */
import type { Range } from '../../../core/index.ts';
import { skipSpace } from '../expand/white-space.ts';
import type { Positions } from './positions.ts';

export interface LogicalLine {
  /** Joined, without white space at its start. */
  readonly text: string;
  /** Offset in the source of an offset in `text`. */
  source(at: number): number;
  /** Range in the source of a range in `text`. */
  range(start: number, end: number): Range;
  /** The comment lines directly before, without `#`; an empty comment forgets those before it. */
  readonly comments: readonly string[];
  /** An empty line stands between those comments and the instruction. */
  readonly commentsDetached: boolean;
  /** An empty line stood inside a continuation: the last of them. */
  readonly emptyContinuation: Range | undefined;
}

export interface HeredocBody {
  /** With line ends as written. */
  readonly raw: string;
  /** Offset after the terminator, its line end excluded. */
  readonly end: number;
}

export interface LineReader {
  /** The next logical line that is neither empty nor a comment. */
  next(escapeCharacter: '\\' | '`'): LogicalLine | undefined;
  /** Reads lines up to the terminator; undefined: the text ended first (everything is consumed then). */
  heredoc(name: string, stripTabs: boolean): HeredocBody | undefined;
}

interface Segment {
  /** Offset in the logical line. */
  readonly at: number;
  /** Offset in the source. */
  readonly source: number;
}

const noComments: readonly string[] = [];

/** A class, because a file has thousands of them and closures for each would cost more than reading it. */
class JoinedLine implements LogicalLine {
  readonly text: string;
  readonly comments: readonly string[];
  readonly commentsDetached: boolean;
  readonly emptyContinuation: Range | undefined;
  readonly #segments: number | readonly Segment[];
  readonly #sourceEnd: number;
  readonly #positions: Positions;

  /** @param segments one number: the line has a single piece, which begins there */
  constructor(
    text: string,
    segments: number | readonly Segment[],
    sourceEnd: number,
    positions: Positions,
    comments: readonly string[],
    commentsDetached: boolean,
    emptyContinuation: Range | undefined,
  ) {
    this.text = text;
    this.comments = comments;
    this.commentsDetached = commentsDetached;
    this.emptyContinuation = emptyContinuation;
    this.#segments = segments;
    this.#sourceEnd = sourceEnd;
    this.#positions = positions;
  }

  source(at: number): number {
    if (at >= this.text.length) return this.#sourceEnd;
    const segments = this.#segments;
    if (typeof segments === 'number') return segments + at;
    let low = 0;
    let high = segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((segments[middle]?.at ?? 0) <= at) low = middle;
      else high = middle - 1;
    }
    const segment = segments[low];
    return segment ? segment.source + (at - segment.at) : this.#sourceEnd;
  }

  /** The end is where the last character ends, so that a range never reaches over a joint. */
  range(start: number, end: number): Range {
    return this.#positions.range(this.source(start), end > start ? this.source(end - 1) + 1 : this.source(start));
  }
}

/** @param from where the first line begins (after a byte order mark); @param directives offsets of directive lines */
export function lineReader(
  text: string,
  from: number,
  positions: Positions,
  directives: ReadonlySet<number>,
): LineReader {
  let at = from;
  let comments: string[] = [];
  let detached = false;

  const physical = (): { start: number; end: number } | undefined => {
    if (at >= text.length) return undefined;
    const start = at;
    const feed = text.indexOf('\n', at);
    at = feed < 0 ? text.length : feed + 1;
    let end = feed < 0 ? text.length : feed;
    while (end > start && text.charCodeAt(end - 1) === 13) end -= 1;
    return { start, end };
  };

  const next = (escapeCharacter: '\\' | '`'): LogicalLine | undefined => {
    for (let line = physical(); line !== undefined; line = physical()) {
      const start = skipSpace(text, line.start, line.end);
      if (text.charAt(start) === '#' && start < line.end) {
        if (!directives.has(line.start)) noteComment(text.slice(line.start + 1, line.end).trim());
        continue;
      }
      const first = cut(start, line.end, escapeCharacter);
      if (!first.continues && first.end === start) {
        detached = true;
        continue;
      }
      return logical(start, first, escapeCharacter);
    }
    return undefined;
  };

  const noteComment = (comment: string): void => {
    detached = false;
    if (comment === '') comments = [];
    else comments.push(comment);
  };

  const takeComments = (): readonly string[] => {
    if (comments.length === 0) return noComments;
    const taken = comments;
    comments = [];
    return taken;
  };

  const logical = (
    start: number,
    first: { end: number; continues: boolean },
    escapeCharacter: '\\' | '`',
  ): LogicalLine => {
    if (!first.continues) {
      const piece = text.slice(start, first.end);
      return new JoinedLine(piece, start, first.end, positions, takeComments(), detached, undefined);
    }
    const parts: string[] = [text.slice(start, first.end)];
    const segments: Segment[] = [{ at: 0, source: start }];
    let length = first.end - start;
    let sourceEnd = first.end;
    let continues: boolean = first.continues;
    let empty: Range | undefined;
    while (continues) {
      const line = physical();
      if (line === undefined) break;
      const content = skipSpace(text, line.start, line.end);
      if (content === line.end) {
        empty = positions.range(line.start, line.end);
        continue;
      }
      if (text.charAt(content) === '#') continue;
      const piece = cut(line.start, line.end, escapeCharacter);
      continues = piece.continues;
      segments.push({ at: length, source: line.start });
      parts.push(text.slice(line.start, piece.end));
      length += piece.end - line.start;
      sourceEnd = piece.end;
    }
    return new JoinedLine(parts.join(''), segments, sourceEnd, positions, takeComments(), detached, empty);
  };

  /** Where a line's content ends, and whether its last character but blanks is an escape that is not itself escaped. */
  const cut = (start: number, end: number, escapeCharacter: '\\' | '`'): { end: number; continues: boolean } => {
    let last = end;
    while (last > start && (text.charCodeAt(last - 1) === 32 || text.charCodeAt(last - 1) === 9)) last -= 1;
    if (last === start || text.charAt(last - 1) !== escapeCharacter) return { end, continues: false };
    if (last - 1 > start && text.charAt(last - 2) === escapeCharacter) return { end, continues: false };
    return { end: last - 1, continues: true };
  };

  const heredoc = (name: string, stripTabs: boolean): HeredocBody | undefined => {
    const from = at;
    for (let line = physical(); line !== undefined; line = physical()) {
      let { start } = line;
      if (stripTabs) while (start < line.end && text.charCodeAt(start) === 9) start += 1;
      if (line.end - start === name.length && text.startsWith(name, start)) {
        return { raw: text.slice(from, line.start), end: line.end };
      }
    }
    return undefined;
  };

  return { next, heredoc };
}
