/** The failure of a source that is not there, with the likeliest reason: a typing error, or an ignore file. */
import { type BytePath, bytePathToText, TsbuildError } from '../../core/index.ts';
import type { Tree } from '../../layers/index.ts';
import { baseName, joinPath, parentOf } from '../context/index.ts';

/** @param path what was looked for, relative to the root of `source` */
export function sourceMissing(source: Tree, text: string, path: BytePath, sourceName: string): TsbuildError {
  const ignoredBy = hiddenBy(source, path);
  const hint = ignoredBy
    ? `${ignoredBy} excludes it: take it back there with !${bytePathToText(path)}.`
    : suggestion(source, path, sourceName);
  return new TsbuildError({
    code: 'copy-source-missing',
    message: `${JSON.stringify(text)} is not in ${sourceName}`,
    hint,
  });
}

function hiddenBy(source: Tree, path: BytePath): string | undefined {
  if (!('hiddenBy' in source) || typeof source.hiddenBy !== 'function') return undefined;
  const file: unknown = source.hiddenBy(path);
  return typeof file === 'string' ? file : undefined;
}

function suggestion(source: Tree, path: BytePath, sourceName: string): string {
  let missing = path;
  while (parentOf(missing) !== '' && !source.lookup(source.resolve(parentOf(missing)))) missing = parentOf(missing);
  const folder = source.resolve(parentOf(missing));
  const near = nearest(
    bytePathToText(baseName(missing)),
    source.list(folder).map((entry) => bytePathToText(baseName(entry.path))),
  );
  if (near !== undefined) return `Did you mean ${JSON.stringify(joinPath(bytePathToText(parentOf(missing)), near))}?`;
  return `Name a path relative to the root of ${sourceName}.`;
}

/** The candidate that differs least, when it differs little. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(name.length / 3));
  let best: { readonly distance: number; readonly name: string } | undefined;
  for (const candidate of candidates.slice(0, 5000)) {
    if (Math.abs(candidate.length - name.length) > limit) continue;
    const distance =
      candidate.toLowerCase() === name.toLowerCase() ? 0.5 : editDistance(name.slice(0, 255), candidate.slice(0, 255));
    if (distance <= limit && distance < (best?.distance ?? Number.POSITIVE_INFINITY))
      best = { distance, name: candidate };
  }
  return best?.name;
}

/** Levenshtein's distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
