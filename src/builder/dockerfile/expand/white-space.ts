/**
 * The characters Go's `unicode.IsSpace` accepts, and the narrower set BuildKit splits instructions on. JavaScript's `\s`
 * differs from both (it has U+FEFF, it lacks U+0085).
 */
const wide = /[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

/** One UTF-16 code unit. */
export function isSpace(unit: number): boolean {
  if (unit < 0x80) return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d);
  return wide.test(String.fromCharCode(unit));
}

/** What separates the words of an instruction: white space on one line. */
export function isWordBreak(unit: number): boolean {
  return unit === 0x20 || unit === 0x09 || unit === 0x0b || unit === 0x0c || unit === 0x0d;
}

/** The offset of the first character at or after `from` that is not white space; `to` when there is none before it. */
export function skipSpace(text: string, from: number, to = text.length): number {
  let at = from;
  while (at < to && isSpace(text.charCodeAt(at))) at += 1;
  return at;
}

/** The offset after the last character before `to` that is not white space; not below `from`. */
export function trimEnd(text: string, from: number, to: number): number {
  let at = to;
  while (at > from && isSpace(text.charCodeAt(at - 1))) at -= 1;
  return at;
}
