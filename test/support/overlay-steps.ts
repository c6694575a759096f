/** Real overlay mounts for tests of layers: what a script changes in one, and what lowers show together. Needs root. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { bash, bashWithMounts, describeTree, type TreeLine } from './layer-trees.ts';

export interface OverlayStep {
  /** Highest first. */
  readonly lowers: readonly string[];
  readonly upper: string;
  /** What the step saw at its end. */
  readonly merged: Map<string, TreeLine>;
}

/**
 * Runs a script in an overlay.
 * @param lowerScripts fill the lower directories, lowest first; each runs in its own
 */
export function overlayStep(folder: string, lowerScripts: readonly string[], script: string): OverlayStep {
  const lowers = lowerScripts.map((fill, i) => {
    const path = join(folder, `lower${i}`);
    mkdirSync(path);
    bash(fill, path);
    return path;
  });
  lowers.reverse();
  for (const name of ['upper', 'work', 'merged']) mkdirSync(join(folder, name));
  bashWithMounts(
    `mount -t overlay overlay -o "lowerdir=$1,upperdir=upper,workdir=work,redirect_dir=off,metacopy=off,index=off" merged
     cd merged; ${script}
     cd ..; mkdir seen; cp -a merged/. seen/; umount merged`,
    folder,
    lowers.join(':'),
  );
  return { lowers, upper: join(folder, 'upper'), merged: describeTree(join(folder, 'seen')) };
}

/** What unpacked layers show together when the kernel mounts them. @param lowers highest first */
export function mountedTree(folder: string, name: string, lowers: readonly string[]): Map<string, TreeLine> {
  // overlayfs wants two lowers at least.
  const nothing = join(folder, 'nothing-below');
  if (!existsSync(nothing)) mkdirSync(nothing);
  mkdirSync(join(folder, name));
  mkdirSync(join(folder, `${name}-mount`));
  bashWithMounts(
    `mount -t overlay overlay -o "ro,lowerdir=$1" "$2-mount"; cp -a "$2-mount/." "$2/"; umount "$2-mount"`,
    folder,
    [...lowers, nothing].join(':'),
    name,
  );
  return describeTree(join(folder, name));
}
