/** Extended attributes as maps. */
import { native } from './addon.ts';

/** Attributes of a name in `dir` ('' for the descriptor itself) whose names `wanted` accepts, sorted; undefined when none. */
export function readXattrs(
  dir: number,
  name: string,
  wanted: (attribute: string) => boolean,
): Map<string, Uint8Array> | undefined {
  const list = native.listXattrs(dir, name);
  if (list === '') return undefined;
  const found = new Map<string, Uint8Array>();
  for (const attribute of list.split('\0').sort()) {
    if (attribute === '' || !wanted(attribute)) continue;
    const value = native.getXattr(dir, name, attribute);
    if (value) found.set(attribute, value);
  }
  return found.size > 0 ? found : undefined;
}

export function equalXattrs(
  a: ReadonlyMap<string, Uint8Array> | undefined,
  b: ReadonlyMap<string, Uint8Array> | undefined,
): boolean {
  if ((a?.size ?? 0) !== (b?.size ?? 0)) return false;
  if (!a || !b) return true;
  for (const [name, value] of a) {
    const other = b.get(name);
    if (!other || Buffer.compare(value, other) !== 0) return false;
  }
  return true;
}

/**
 * Attributes that belong to an image. Left out: overlayfs' own and tsbuild's (recorded-owner.ts), and labels that this machine's security modules put on
 * files (security.selinux, security.ima, ...), which mean nothing elsewhere.
 */
export function isLayerXattr(attribute: string): boolean {
  if (attribute.startsWith('security.')) return attribute === 'security.capability';
  return !['trusted.overlay.', 'user.overlay.', 'user.tsbuild.'].some((prefix) => attribute.startsWith(prefix));
}
