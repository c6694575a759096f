/**
 * Paths inside a tree, pure string work: joining, parents, and the one resolution of symlinks that every tree and every
 * destination shares. A link is text in the tree, never asked of the kernel, so nothing leads out of the root.
 * Invariant: a resolved path has no empty, `.` or `..` component.
 */
import { type BytePath, bytePathToText, TsbuildError } from '../../core/index.ts';

export const rootPath = '' as BytePath;

export function joinPath(directory: string, name: string): BytePath {
  return (directory === '' ? name : name === '' ? directory : `${directory}/${name}`) as BytePath;
}

export function parentOf(path: string): BytePath {
  return path.slice(0, Math.max(0, path.lastIndexOf('/'))) as BytePath;
}

export function baseName(path: string): BytePath {
  return path.slice(path.lastIndexOf('/') + 1) as BytePath;
}

/** Every directory above a path, highest first, without the root. */
export function ancestorsOf(path: string): readonly BytePath[] {
  const found: BytePath[] = [];
  for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) found.push(path.slice(0, at) as BytePath);
  return found;
}

/** What `lookup` must tell of an entry. */
export interface Resolvable {
  readonly kind: string;
  readonly linkTarget?: BytePath;
}

/**
 * Follows symlinks; `..` stops at the root; what does not exist is taken as it stands.
 * @throws TsbuildError `path-loop` after 40 links
 */
export function resolveInTree(
  path: string,
  lookup: (path: BytePath) => Resolvable | undefined,
  followLast = true,
): BytePath {
  let left = path.split('/').reverse();
  let done = rootPath;
  let links = 0;
  while (left.length > 0) {
    const component = left.pop() ?? '';
    if (component === '' || component === '.') continue;
    if (component === '..') {
      done = parentOf(done);
      continue;
    }
    const next = joinPath(done, component);
    const entry = lookup(next);
    if (entry?.kind !== 'symlink' || (!followLast && left.every((rest) => rest === '' || rest === '.'))) {
      done = next;
      continue;
    }
    links += 1;
    if (links > 40) {
      throw new TsbuildError({
        code: 'path-loop',
        message: `${JSON.stringify(bytePathToText(path))} leads through more than 40 symbolic links`,
        hint: 'Remove the loop of symbolic links.',
      });
    }
    const target = entry.linkTarget ?? '';
    if (target.startsWith('/')) done = rootPath;
    left = left.concat(target.split('/').reverse());
  }
  return done;
}
