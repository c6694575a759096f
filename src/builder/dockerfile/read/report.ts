/** Collects diagnostics while a text is read. */
import type { ErrorCode, Range } from '../../../core/index.ts';
import type { Positions } from '../text/positions.ts';
import type { Diagnostic } from '../types.ts';

/** UTF-16 code units of a message or hint: what the user wrote may be a megabyte. */
const longest = 300;

/** Cut to what a person reads. */
export function clip(text: string): string {
  return text.length <= longest ? text : `${text.slice(0, longest - 3)}...`;
}

/** A range, or the offsets of one. */
export type Place = Range | readonly [start: number, end: number];

export interface Report {
  readonly diagnostics: Diagnostic[];
  error(code: ErrorCode, place: Place, message: string, hint: string): void;
  /** An error only if the stage it stands in is built. */
  errorWhenBuilt(code: ErrorCode, place: Place, message: string, hint: string): void;
}

export function newReport(positions: Positions): Report {
  const diagnostics: Diagnostic[] = [];
  const rangeOf = (place: Place): Range => ('start' in place ? place : positions.range(place[0], place[1]));
  return {
    diagnostics,
    error: (code, place, message, hint) => {
      diagnostics.push({ severity: 'error', code, message: clip(message), hint: clip(hint), range: rangeOf(place) });
    },
    errorWhenBuilt: (code, place, message, hint) => {
      diagnostics.push({
        severity: 'error',
        code,
        message: clip(message),
        hint: clip(hint),
        range: rangeOf(place),
        whenBuilt: true,
      });
    },
  };
}
