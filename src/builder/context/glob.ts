/**
 * The wildcards of a COPY source, expanded in a tree: filepath.Match on each component, as BuildKit's ResolveWildcards
 * walks. The part before the first wildcard may lead through symlinks inside the tree; what a wildcard matches is not
 * followed further down.
 * Invariant: matches come in byte order of the walk, and lie in the tree.
 */
import { type BytePath, bytePathFromText, bytePathToText, TsbuildError } from '../../core/index.ts';
import type { Tree } from '../../layers/index.ts';
import { badPattern, compileName, hasMagic, type NameMatcher } from './go-match.ts';
import { joinPath } from './tree-path.ts';

/**
 * @param pattern relative to the root of the tree, cleaned
 * @returns the pattern itself, whether or not it exists, when it has no wildcard; else what matches. When what stands
 *   before the first wildcard does not exist, that part alone: as BuildKit does, it is required
 * @throws TsbuildError `copy-pattern-invalid`
 */
export function expandGlob(tree: Tree, pattern: string): readonly BytePath[] {
  const components = pattern === '' ? [] : pattern.split('/');
  const first = components.findIndex(hasMagic);
  if (first < 0) return [bytePathFromText(pattern)];
  const problem = badPattern(pattern);
  if (problem !== undefined) {
    throw new TsbuildError({
      code: 'copy-pattern-invalid',
      message: `the pattern ${JSON.stringify(pattern)} is not valid: ${problem}`,
      hint: 'Write [[] for a [ that stands for itself.',
    });
  }
  const base = tree.resolve(bytePathFromText(components.slice(0, first).join('/')), { followLast: true });
  if (base !== '' && !tree.lookup(base)) return [bytePathFromText(components.slice(0, first).join('/'))];
  const found: BytePath[] = [];
  walk(tree, base, components.slice(first).map(compileName), found);
  return found;
}

function walk(tree: Tree, directory: BytePath, matchers: readonly NameMatcher[], found: BytePath[]): void {
  const [matcher, ...below] = matchers;
  if (!matcher) return;
  for (const entry of tree.list(directory)) {
    const name = entry.path.slice(entry.path.lastIndexOf('/') + 1);
    if (!matcher(bytePathToText(name))) continue;
    const path = joinPath(directory, name);
    if (below.length === 0) found.push(path);
    else if (entry.kind === 'directory') walk(tree, path, below, found);
  }
}
