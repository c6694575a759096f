/** The shell a person gets in an image. */
import { bytePathFromText, TsbuildError } from '../core/index.ts';
import type { Tree } from '../layers/index.ts';

/** Those with a line editor first. */
const before = ['/bin/bash', '/usr/bin/bash'];
const after = ['/bin/sh', '/usr/bin/sh', '/bin/ash', '/busybox/sh'];

/**
 * @param used the program of the command whose place the shell takes: when that is a shell itself, it will do
 * @throws TsbuildError `shell-missing`
 */
export function findShell(tree: Tree, used?: string): string {
  const own = used !== undefined && /^\/(.*\/)?[a-z]*sh$/.test(used) ? [used] : [];
  const found = [...before, ...own, ...after].find((path) => isFile(tree, path));
  if (found !== undefined) return found;
  throw new TsbuildError({
    code: 'shell-missing',
    message: 'the image has no shell',
    hint: 'Copy one in while you look for the mistake: COPY --from=busybox:musl /bin/busybox /bin/sh',
  });
}

function isFile(tree: Tree, path: string): boolean {
  const resolved = tree.resolve(bytePathFromText(path.slice(1)), { followLast: true });
  return tree.lookup(resolved)?.kind === 'file';
}
