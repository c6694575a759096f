/**
 * Offsets to positions. Lines end at a line feed; a carriage return before it belongs to its line.
 * Invariant: every range made here lies inside the text.
 */
import type { Position, Range } from '../../../core/index.ts';

export interface Positions {
  position(offset: number): Position;
  range(start: number, end: number): Range;
}

export function positionsOf(text: string): Positions {
  const starts: number[] = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  // Instructions ask in ascending order most of the time: remember where the last answer was.
  let last = 0;
  const position = (offset: number): Position => {
    const at = Math.max(0, Math.min(offset, text.length));
    let low = (starts[last] ?? 0) <= at ? last : 0;
    let high = starts.length - 1;
    if ((starts[low + 1] ?? Number.POSITIVE_INFINITY) > at) high = low;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= at) low = middle;
      else high = middle - 1;
    }
    last = low;
    return { line: low + 1, column: at - (starts[low] ?? 0) + 1 };
  };
  return {
    position,
    range: (start, end) => ({ start: position(start), end: position(Math.max(start, end)) }),
  };
}
