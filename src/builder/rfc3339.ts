/** A time as image documents have it: RFC 3339 in UTC, fractions without trailing zeros. @param milliseconds since 1970 */
export function rfc3339(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.?0*Z$/, 'Z');
}
