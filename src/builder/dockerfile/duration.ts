/** Go's durations: `1h30m`, `1.5s`, `300ms`, `-2us`. */

const units: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** No duration anyone means is longer. */
const longest = 100;

/** Nanoseconds; undefined when the text is not a duration or is longer than Go can hold (about 292 years). */
export function parseDuration(text: string): number | undefined {
  if (text.length > longest) return undefined;
  const body = text.replace(/^[+-]/, '');
  if (body === '0') return 0;
  if (!/^((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$/.test(body)) return undefined;
  let total = 0;
  for (const part of body.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    const [whole = '0', fraction = ''] = (part[1] ?? '').split('.');
    const unit = units[part[2] ?? ''] ?? 0;
    // Digits times a power of ten: `0.57s` is exact, 0.57 alone is not.
    total += Number(whole || '0') * unit + Math.trunc(Number(fraction || '0') * (unit / 10 ** fraction.length));
  }
  if (total > 2 ** 63 - 1) return undefined;
  return text.startsWith('-') ? -total : total;
}
