/**
 * Names in layers: from an archive's bytes to paths inside the tree, and the reserved names of whiteouts (OCI image
 * spec, layer.md, "Whiteouts").
 */
import { type BytePath, TsbuildError } from '../../core/index.ts';
import { shown, tarError } from './tar-errors.ts';

const whiteoutPrefix = '.wh.';
const opaqueMarker = '.wh..wh..opq';
/** AUFS kept its own files under names like `.wh..wh.plnk`; they are in old images and belong to no tree. */
const metaPrefix = '.wh..wh.';

export type LayerName =
  | { readonly kind: 'entry'; readonly path: BytePath }
  /** What `path` names in the layers below is gone. */
  | { readonly kind: 'whiteout'; readonly path: BytePath }
  /** All the layers below have in the directory `path` is gone. */
  | { readonly kind: 'opaque'; readonly path: BytePath }
  | { readonly kind: 'ignored' };

/**
 * A name resolved as if the tree were a whole file system: leading `/` and `.` mean nothing, `..` stops at the root.
 * Symlinks are resolved later, in the tree.
 */
export function normalizeName(name: string): BytePath {
  if (!needsWork(name)) return (name.endsWith('/') ? name.slice(0, -1) : name) as BytePath;
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return parts.join('/') as BytePath;
}

/** @throws TsbuildError `tar-invalid` for a whiteout of nothing, of `.` or of `..` */
export function layerName(name: string): LayerName {
  const path = normalizeName(name);
  const slash = path.lastIndexOf('/');
  if (!path.startsWith(whiteoutPrefix, slash + 1)) return { kind: 'entry', path };
  const parent = (slash < 0 ? '' : path.slice(0, slash)) as BytePath;
  const base = path.slice(slash + 1);
  if (base === opaqueMarker) return { kind: 'opaque', path: parent };
  if (base.startsWith(metaPrefix)) return { kind: 'ignored' };
  const target = base.slice(whiteoutPrefix.length);
  if (target === '' || target === '.' || target === '..') {
    return tarError('tar-invalid', `the whiteout ${shown(name)} names no file`);
  }
  return { kind: 'whiteout', path: (parent === '' ? target : `${parent}/${target}`) as BytePath };
}

/** The entry that says a path is gone. */
export function whiteoutPath(path: BytePath): BytePath {
  const slash = path.lastIndexOf('/');
  return `${path.slice(0, slash + 1)}${whiteoutPrefix}${path.slice(slash + 1)}` as BytePath;
}

/** The entry that says a directory hides what lies below it. */
export function opaquePath(directory: BytePath): BytePath {
  return (directory === '' ? opaqueMarker : `${directory}/${opaqueMarker}`) as BytePath;
}

/** @throws TsbuildError `layer-reserved-name`: a file of that name would delete another wherever the image is unpacked */
export function refuseReservedName(path: BytePath): void {
  if (!path.startsWith(whiteoutPrefix, path.lastIndexOf('/') + 1)) return;
  throw new TsbuildError({
    code: 'layer-reserved-name',
    message: `${shown(path)} cannot be in a layer: names that begin with .wh. mean deletions there`,
    hint: 'Rename the file or leave it out.',
  });
}

function needsWork(name: string): boolean {
  if (name === '' || name.startsWith('/') || name.startsWith('.')) return true;
  return name.includes('//') || name.includes('/.');
}
