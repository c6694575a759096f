/** Suggestions for a mistyped name: every room that rejects an unknown word offers the nearest known one. */

/** More names are not compared, and longer ones not wholly: a suggestion must not cost more than the mistake. */
const mostNames = 5000;
const longest = 255;

/**
 * The nearest of some names, for a hint; undefined when none is near: one mistake in up to four letters, two in
 * up to eight, three in more. Case counts less than any mistake, so that of two names that differ in case only the right one wins.
 */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  const wanted = name.toLowerCase().slice(0, longest);
  let best: string | undefined;
  let bestDistance = mistakesAllowed(wanted.length) + 1;
  let compared = 0;
  for (const candidate of candidates) {
    compared += 1;
    if (compared > mostNames) break;
    const other = candidate.toLowerCase().slice(0, longest);
    if (Math.abs(other.length - wanted.length) >= bestDistance) continue;
    const distance = editDistance(wanted, other, bestDistance);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function mistakesAllowed(length: number): number {
  if (length < 2) return 0;
  return length < 5 ? 1 : length < 9 ? 2 : 3;
}

/** ` (did you mean x?)`, or nothing. */
export function suggestion(name: string | undefined): string {
  return name === undefined ? '' : ` (did you mean ${name}?)`;
}

/**
 * Insertions, deletions, changes and swaps of neighbours, each one mistake (optimal string alignment); `limit` when there
 * are as many or more: a whole row at the limit ends the search early.
 */
function editDistance(a: string, b: string, limit: number): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    let least = row;
    for (let column = 1; column <= b.length; column += 1) {
      const isSame = a[row - 1] === b[column - 1];
      let distance = (previous[column - 1] ?? 0) + (isSame ? 0 : 1);
      const isSwap = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (isSwap) distance = Math.min(distance, (beforePrevious[column - 2] ?? 0) + 1);
      distance = Math.min(distance, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1);
      current.push(distance);
      least = Math.min(least, distance);
    }
    if (least >= limit) return limit;
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}
