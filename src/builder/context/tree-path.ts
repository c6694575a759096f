/**
 * Paths inside a tree, pure string work: joining, parents, and the resolution of symlinks that contexts and destinations
 * share with layers. A link is text in the tree, never asked of the kernel, so nothing leads out of the root.
 * Invariant: a resolved path has no empty, `.` or `..` component.
 */
import type { BytePath } from '../../core/index.ts';
import { resolvePlace } from '../../layers/index.ts';

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
  readonly linkTarget?: BytePath | undefined;
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
  const { folder, name } = followLast ? { folder: path, name: '' } : lastApart(path);
  const found = resolvePlace(treeRoot, folder, (at, component) => {
    const next = joinPath(at.path, component);
    const entry = lookup(next);
    return entry?.kind === 'symlink' ? (entry.linkTarget ?? '') : { parent: at, path: next };
  });
  return joinPath(found.path, name);
}

interface Place {
  readonly parent: Place | undefined;
  readonly path: BytePath;
}

const treeRoot: Place = { parent: undefined, path: rootPath };

/** The last component apart from what is above it, unless it is `..`, which has no name of its own. */
function lastApart(path: string): { readonly folder: string; readonly name: string } {
  let end = path.length;
  while (path[end - 1] === '/' || (path[end - 1] === '.' && path[end - 2] === '/')) end -= 1;
  const clean = path.slice(0, end);
  const name = baseName(clean);
  if (name === '..' || name === '.') return { folder: clean, name: '' };
  return { folder: parentOf(clean), name };
}
