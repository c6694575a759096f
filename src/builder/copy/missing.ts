/** The failure of a source that is not there, with the likeliest reason: a typing error, or an ignore file. */
import { type BytePath, bytePathToText, nearest, TsbuildError } from '../../core/index.ts';
import type { Tree } from '../../layers/index.ts';
import { baseName, joinPath, parentOf } from '../context/index.ts';

/** @param path what was looked for, relative to the root of `source` */
export function sourceMissing(source: Tree, text: string, path: BytePath, sourceName: string): TsbuildError {
  const ignoredBy = hiddenBy(source, path);
  const hint = ignoredBy
    ? `${ignoredBy} excludes it: take it back there with !${bytePathToText(path)}.`
    : /^(?:\.\/)*\.\.\//.test(text) && sourceName === 'the build context'
      ? `A build reaches nothing outside of its context: build from further up, or name it with --build-context outside=${text} and use --from=outside.`
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
