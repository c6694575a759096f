/** The members every instruction has. */
import type { Range } from '../../../core/index.ts';
import { trimEnd } from '../expand/white-space.ts';
import type { InstructionLine } from './line.ts';

export interface Common {
  readonly keyword: string;
  readonly range: Range;
  readonly original: string;
  readonly comments?: readonly string[];
  readonly commentsDetached?: true;
  readonly emptyContinuation?: Range;
}

export function commonOf(on: InstructionLine): Common {
  const { text, comments, commentsDetached, emptyContinuation } = on.line;
  const end = trimEnd(text, 0, text.length);
  return {
    keyword: on.keyword,
    range: on.line.range(0, end),
    original: text.slice(0, end),
    ...(comments.length > 0 && { comments }),
    ...(comments.length > 0 && commentsDetached && { commentsDetached }),
    ...(emptyContinuation && { emptyContinuation }),
  };
}
