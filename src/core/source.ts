/**
 * Positions in a text the user wrote. Lines and columns count from 1; columns count UTF-16 code units.
 * Invariant: a range lies inside its text; `end` is exclusive.
 */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface Range {
  readonly start: Position;
  readonly end: Position;
}

/** A range with the text it points into: enough to draw an excerpt with a caret. */
export interface SourceLocation {
  /** As the user named it: `Dockerfile`, `app/Dockerfile.prod`, `-`. */
  readonly file: string;
  readonly text: string;
  readonly range: Range;
}
