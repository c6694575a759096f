/**
 * Go's way of printing values, which BuildKit's history texts are made of: `%v` of a list, `%q` of a list, `%+v` of the
 * health check. Kept exact so that `history` reads the same whichever tool built the image.
 */
import type { HealthConfig } from '../../image/index.ts';

/** `%v` of a []string: `[a b]`. */
export function goList(items: readonly string[]): string {
  return `[${items.join(' ')}]`;
}

/** `%q` of a []string: `["a" "b"]`. */
export function goQuotedList(items: readonly string[]): string {
  return `[${items.map(goQuote).join(' ')}]`;
}

/** `NAME=value`, never quoted. */
export function pairText({ name, value }: { readonly name: string; readonly value: string }): string {
  return `${name}=${value}`;
}

/** `%+v` of Docker's HealthcheckConfig. */
export function goStruct(health: HealthConfig): string {
  const duration = (nanoseconds: number | undefined) => goDuration(nanoseconds ?? 0);
  return `{Test:${goList(health.Test ?? [])} Interval:${duration(health.Interval)} Timeout:${duration(health.Timeout)} StartPeriod:${duration(health.StartPeriod)} StartInterval:${duration(health.StartInterval)} Retries:${health.Retries ?? 0}}`;
}

/** time.Duration.String(): `1m30s`, `1.5s`, `100ms`, `0s`. @param nanoseconds not negative */
export function goDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return '0s';
  if (nanoseconds < 1e3) return `${nanoseconds}ns`;
  if (nanoseconds < 1e6) return `${nanoseconds / 1e3}µs`;
  if (nanoseconds < 1e9) return `${nanoseconds / 1e6}ms`;
  const minutes = Math.floor(nanoseconds / 6e10);
  const seconds = `${(nanoseconds - minutes * 6e10) / 1e9}s`;
  if (minutes === 0) return seconds;
  const hours = Math.floor(minutes / 60);
  return hours === 0 ? `${minutes}m${seconds}` : `${hours}h${minutes % 60}m${seconds}`;
}

/** strconv.Quote. */
function goQuote(text: string): string {
  const named: Readonly<Record<string, string>> = {
    '"': '\\"',
    '\\': '\\\\',
    '\n': '\\n',
    '\r': '\\r',
    '\t': '\\t',
    '\x07': '\\a',
    '\b': '\\b',
    '\f': '\\f',
    '\v': '\\v',
  };
  const body = text.replace(
    /["\\\x00-\x1f\x7f]/g,
    (char) => named[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return `"${body}"`;
}
