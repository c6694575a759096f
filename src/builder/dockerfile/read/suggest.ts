/** The nearest valid spelling for what the user wrote. */

/** The option at most two edits away (one for two or three letters, none for one), or undefined. Case does not count. */
export function nearest(word: string, options: readonly string[]): string | undefined {
  const wanted = word.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.min(3, Math.ceil(wanted.length / 2));
  for (const option of options) {
    const other = option.toLowerCase();
    if (Math.abs(other.length - wanted.length) >= bestDistance) continue;
    const distance = editDistance(wanted, other, bestDistance);
    if (distance < bestDistance) {
      best = option;
      bestDistance = distance;
    }
  }
  return best;
}

/** ` (did you mean x?)`, or nothing. */
export function suggestion(option: string | undefined): string {
  return option === undefined ? '' : ` (did you mean ${option}?)`;
}

/**
 * Insertions, deletions, changes and swaps of neighbours (optimal string alignment); `limit` when there are as many or
 * more: whole rows at the limit end the search early.
 */
function editDistance(a: string, b: string, limit: number): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    let least = row;
    for (let column = 1; column <= b.length; column += 1) {
      const isSame = a.charCodeAt(row - 1) === b.charCodeAt(column - 1);
      let best = (previous[column - 1] ?? 0) + (isSame ? 0 : 1);
      const isSwap = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (isSwap) best = Math.min(best, (beforePrevious[column - 2] ?? 0) + 1);
      best = Math.min(best, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1);
      current.push(best);
      least = Math.min(least, best);
    }
    if (least >= limit) return limit;
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}
