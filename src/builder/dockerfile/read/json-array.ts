/**
 * The JSON form. Decided by JSON.parse and not by dockerfile-ast, which drops spaces and escapes from the strings.
 * What begins with `[` and is not JSON is a shell command or a list of words, as in Docker.
 */
export type JsonForm =
  | { readonly kind: 'array'; readonly values: readonly string[] }
  /** JSON, but not of strings only: an error. */
  | { readonly kind: 'mixed' }
  | { readonly kind: 'none' };

/** @param text the arguments, without flags and outer white space */
export function readJsonArray(text: string): JsonForm {
  if (!text.startsWith('[') || !text.endsWith(']')) return { kind: 'none' };
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return { kind: 'none' };
    throw error;
  }
  if (!Array.isArray(parsed)) return { kind: 'none' };
  const values: readonly unknown[] = parsed;
  return values.every((value) => typeof value === 'string') ? { kind: 'array', values } : { kind: 'mixed' };
}
