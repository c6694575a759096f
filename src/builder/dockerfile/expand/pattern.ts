/**
 * The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*` is any run of characters, `?` any one, neither crosses a line
 * end; `\` makes `*`, `?` and `\` literal.
 * Invariant: matching takes time proportional to value times pattern, whatever the pattern. It is done by hand because
 * a backtracking RegExp made from a hostile pattern can take exponential time.
 */

const star = -1;
const any = -2;
const lineFeed = 10;
const backslash = 92;

/** Code points, or `star`, or `any`. */
export type Pattern = readonly number[];

export type PatternResult =
  | { readonly ok: true; readonly pattern: Pattern }
  | { readonly ok: false; readonly escape: string };

/** `ok: false` when a backslash stands before a character that needs none, or at the end; `escape` is the pair. */
export function parsePattern(source: string): PatternResult {
  const points = codePoints(source);
  const pattern: number[] = [];
  for (let at = 0; at < points.length; at += 1) {
    const point = points[at] ?? 0;
    if (point === 42) {
      if (pattern.at(-1) !== star) pattern.push(star);
    } else if (point === 63) pattern.push(any);
    else if (point !== backslash) pattern.push(point);
    else {
      const next = points[at + 1];
      // `\}` and `\/` only kept the character from ending the substitution.
      if (next === 125 || next === 47) continue;
      if (next !== 42 && next !== 63 && next !== backslash) {
        return { ok: false, escape: next === undefined ? '\\' : `\\${String.fromCodePoint(next)}` };
      }
      pattern.push(next);
      at += 1;
    }
  }
  return { ok: true, pattern };
}

/** What is left of `value` without the shortest (or longest) match at its start. */
export function trimPrefix(value: string, pattern: Pattern, longest: boolean): string {
  const points = codePoints(value);
  const end = matchEnd(points, 0, pattern, longest);
  return end <= 0 ? value : text(points, end, points.length);
}

/** What is left of `value` without the shortest (or longest) match at its end. */
export function trimSuffix(value: string, pattern: Pattern, longest: boolean): string {
  const points = codePoints(value).reverse();
  const end = matchEnd(points, 0, pattern.toReversed(), longest);
  return end <= 0 ? value : text(points.subarray(end).reverse(), 0, points.length - end);
}

/**
 * `value` with the first match, or every match, replaced. In `all`, `$0` and `${0}` in the replacement stand for the
 * match, other `$name` for nothing and `$$` for a dollar, because BuildKit hands the text to Go's ReplaceAllString.
 */
export function replacePattern(value: string, pattern: Pattern, replacement: string, all: boolean): string {
  const points = codePoints(value);
  const startable = matchStarts(points, pattern);
  const out: string[] = [];
  let copied = 0;
  let lastEnd = -1;
  for (let at = 0; at <= points.length; at += 1) {
    if (startable[at] !== 1) continue;
    const end = matchEnd(points, at, pattern, true);
    // An empty match directly after the previous match does not count.
    if (end === at && at === lastEnd) continue;
    out.push(text(points, copied, at), all ? fillTemplate(replacement, text(points, at, end)) : replacement);
    copied = end;
    lastEnd = end;
    if (!all) break;
    if (end > at) at = end - 1;
  }
  out.push(text(points, copied, points.length));
  return out.join('');
}

function fillTemplate(template: string, match: string): string {
  if (!template.includes('$')) return template;
  return template.replace(/\$(?:\$|([\p{L}\p{Nd}_]+)|\{([\p{L}\p{Nd}_]+)\})/gu, (whole, bare, braced) => {
    if (whole === '$$') return '$';
    return (bare ?? braced) === '0' ? match : '';
  });
}

/** The end of the shortest or longest match that begins at `from`, or -1. */
function matchEnd(points: Uint32Array, from: number, pattern: Pattern, longest: boolean): number {
  let active = closure([0], pattern);
  let found = -1;
  for (let at = from; ; at += 1) {
    if (active.at(-1) === pattern.length) {
      found = at;
      if (!longest) return found;
    }
    const point = points[at];
    if (point === undefined) return found;
    active = step(active, point, pattern);
    if (active.length === 0) return found;
  }
}

/** Positions of the pattern reachable without reading, ascending. */
function closure(positions: readonly number[], pattern: Pattern): number[] {
  const out: number[] = [];
  for (const position of positions) {
    let at = position;
    if (at > (out.at(-1) ?? -1)) out.push(at);
    while (pattern[at] === star) {
      at += 1;
      if (at > (out.at(-1) ?? -1)) out.push(at);
    }
  }
  return out;
}

function step(active: readonly number[], point: number, pattern: Pattern): number[] {
  const next: number[] = [];
  for (const position of active) {
    const wanted = pattern[position];
    if (wanted === star) {
      if (point !== lineFeed && next.at(-1) !== position) next.push(position);
    } else if (wanted === any ? point !== lineFeed : wanted === point) next.push(position + 1);
  }
  return closure(next, pattern);
}

/** For each offset, 1 when some match begins there: computed from the right in one pass. */
function matchStarts(points: Uint32Array, pattern: Pattern): Uint8Array {
  const starts = new Uint8Array(points.length + 1);
  const width = pattern.length;
  let later = new Uint8Array(width + 1);
  for (let at = points.length; at >= 0; at -= 1) {
    const now = new Uint8Array(width + 1);
    now[width] = 1;
    const point = points[at];
    for (let position = width - 1; position >= 0; position -= 1) {
      const wanted = pattern[position];
      if (wanted === star) {
        const longer = point !== undefined && point !== lineFeed && later[position] === 1;
        now[position] = longer || now[position + 1] === 1 ? 1 : 0;
      } else if (point !== undefined && (wanted === any ? point !== lineFeed : wanted === point)) {
        now[position] = later[position + 1] ?? 0;
      }
    }
    starts[at] = now[0] ?? 0;
    later = now;
  }
  return starts;
}

function codePoints(value: string): Uint32Array {
  const points = new Uint32Array(value.length);
  let count = 0;
  for (let at = 0; at < value.length; count += 1) {
    const point = value.codePointAt(at) ?? 0;
    points[count] = point;
    at += point > 0xffff ? 2 : 1;
  }
  return points.subarray(0, count);
}

function text(points: Uint32Array, from: number, to: number): string {
  const parts: string[] = [];
  for (let at = from; at < to; at += 4096) {
    parts.push(String.fromCodePoint(...points.subarray(at, Math.min(to, at + 4096))));
  }
  return parts.join('');
}
