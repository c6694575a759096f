/**
 * Heredocs: which words of a line announce one, and with what name. Our own code: dockerfile-ast misses `3<<EOF`,
 * `<< EOF` and quoted names with spaces, and would read their bodies as instructions.
 */
import { expandWords } from '../expand/expand.ts';

export interface HeredocMark {
  /** Without quotes. */
  readonly name: string;
  readonly expand: boolean;
  readonly stripTabs: boolean;
  readonly fd: number;
  /** Offsets of the word in the line. */
  readonly start: number;
  readonly end: number;
}

export type HeredocWord =
  | { readonly kind: 'heredoc'; readonly mark: Omit<HeredocMark, 'start' | 'end'> }
  | { readonly kind: 'none' }
  | { readonly kind: 'unclosed' };

const unset = () => undefined;

/** Whether one word is a heredoc mark; `unclosed`: a quote in its name has no end. */
export function readHeredocWord(word: string): HeredocWord {
  const match = /^(\d*)<<(-?)/.exec(word);
  if (match === null) return { kind: 'none' };
  let at = match[0].length;
  while (' \t\n\f\r'.includes(word.charAt(at) || 'x')) at += 1;
  const rest = word.slice(at);
  if (rest === '' || rest.includes('<')) return { kind: 'none' };
  const plain = expandWords(rest, { escape: '\\', lookup: unset, keepUnset: true });
  if (plain.error) return { kind: 'unclosed' };
  const name = plain.words[0];
  if (name === undefined || plain.words.length !== 1) return { kind: 'none' };
  const quoted = expandWords(rest, { escape: '\\', lookup: unset, keepUnset: true, rawQuotes: true }).words[0] ?? '';
  return {
    kind: 'heredoc',
    mark: {
      name,
      expand: countQuotes(name) === countQuotes(quoted),
      stripTabs: match[2] === '-',
      fd: Number.parseInt(match[1] || '0', 10),
    },
  };
}

export interface HeredocMarks {
  readonly marks: readonly HeredocMark[];
  /** The range of a word that would be a mark if its quote were closed. */
  readonly unclosed?: readonly [start: number, end: number];
}

/** The heredoc marks of a whole logical line, in order. A line whose quotes do not close has none, as in BuildKit. */
export function heredocMarks(line: string): HeredocMarks {
  if (!line.includes('<<')) return { marks: [] };
  const split = expandWords(line, {
    escape: '\\',
    lookup: unset,
    keepUnset: true,
    rawQuotes: true,
    rawEscapes: true,
  });
  const marks: HeredocMark[] = [];
  for (const [index, word] of split.words.entries()) {
    if (!word.includes('<<')) continue;
    const start = split.starts[index] ?? 0;
    const end = Math.min(line.length, start + word.length);
    const read = readHeredocWord(word);
    if (read.kind === 'unclosed') return { marks, unclosed: [start, end] };
    if (read.kind === 'heredoc') marks.push({ ...read.mark, start, end });
  }
  return { marks };
}

function countQuotes(text: string): number {
  return text.replace(/[^'"]/g, '').length;
}

/** Whether a text is nothing but one heredoc mark: then the body is the script itself. */
export function isHeredocWord(text: string): boolean {
  return readHeredocWord(text).kind === 'heredoc';
}
