/** Places in a Dockerfile as BuildKit's JSON writes them, so that its readers can read ours. */
import type { Range } from '../../core/index.ts';

export interface JsonLocation {
  readonly ranges: readonly {
    readonly start: { readonly line: number; readonly character: number };
    readonly end: { readonly line: number; readonly character: number };
  }[];
}

/** Lines count from 1, characters from 0. */
export function jsonLocation({ start, end }: Range): JsonLocation {
  const position = ({ line, column }: Range['start']) => ({ line, character: column - 1 });
  return { ranges: [{ start: position(start), end: position(end) }] };
}

/** The text of the Dockerfile, as `sources` of an answer holds it. */
export function jsonSource(text: string): string {
  return Buffer.from(text).toString('base64');
}
