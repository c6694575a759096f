/**
 * Word splitting: collects the words of an expansion while it is read.
 * Invariant: a word is never empty; quoted or escaped white space does not end it.
 */
import { isSpace } from './white-space.ts';

export interface Splitter {
  readonly words: string[];
  /** Offset in the source where each word began. */
  readonly starts: number[];
  current: string[];
  start: number;
  inWord: boolean;
}

export function newSplitter(): Splitter {
  return { words: [], starts: [], current: [], start: 0, inWord: false };
}

/**
 * Adds text whose white space separates words.
 * @param stride how far the source advances per character: 1 for source text, 0 for a variable's value
 */
export function addSplit(split: Splitter, text: string, from: number, stride: 0 | 1): void {
  let start = 0;
  for (let at = 0; at <= text.length; at += 1) {
    if (at < text.length && !isSpace(text.charCodeAt(at))) continue;
    if (at > start) addWhole(split, text.slice(start, at), from + start * stride);
    if (at < text.length) finishWord(split);
    start = at + 1;
  }
}

/** Adds text that belongs to the word in progress, spaces and all. */
export function addWhole(split: Splitter, text: string, from: number): void {
  if (!split.inWord) split.start = from;
  split.inWord = true;
  if (text !== '') split.current.push(text);
}

export function finishWord(split: Splitter): void {
  if (split.current.length === 0) return;
  split.words.push(split.current.join(''));
  split.starts.push(split.start);
  split.current = [];
  split.inWord = false;
}
