/**
 * Path resolution inside a tree that is not mounted anywhere, with symlinks, as the kernel does it inside a root:
 * absolute targets start at the root, `..` stops there, 40 links are followed at most (path_resolution(7)).
 */
import { TsbuildError } from '../../core/index.ts';
import { shown } from '../tar/tar-errors.ts';

const mostLinks = 40;

/** A place knows the one above it; only the root has none. */
export interface Above<P> {
  readonly parent: P | undefined;
}

/**
 * Walks from `root` along `path`.
 * @param step what a name in a place is: the next place, or the text of a symlink
 * @throws TsbuildError `path-loop`
 */
export function resolvePlace<P extends Above<P>>(root: P, path: string, step: (at: P, name: string) => P | string): P {
  let at = root;
  let links = 0;
  /** Names still to walk, the next one last. */
  const names = path.split('/').reverse();
  for (let name = names.pop(); name !== undefined; name = names.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      at = at.parent ?? root;
      continue;
    }
    const next = step(at, name);
    if (typeof next !== 'string') {
      at = next;
      continue;
    }
    links += 1;
    if (links > mostLinks) {
      throw new TsbuildError({
        code: 'path-loop',
        message: `resolving ${shown(path)} follows more than ${mostLinks} symlinks`,
        hint: 'Remove the loop of symlinks.',
      });
    }
    if (next.startsWith('/')) at = root;
    names.push(...next.split('/').reverse());
  }
  return at;
}

export function parentPath(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '' : path.slice(0, slash);
}

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

export function childPath(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}
