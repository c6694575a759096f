/**
 * The ustar header block (POSIX.1-2017, pax, "ustar Interchange Format"): where its fields lie, and the typeflags that
 * occur, POSIX's and GNU's.
 */
export const blockSize = 512;

/** [offset, length] of each field. */
export const field = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  typeflag: [156, 1],
  linkName: [157, 100],
  magic: [257, 8],
  deviceMajor: [329, 8],
  deviceMinor: [337, 8],
  prefix: [345, 155],
} as const;

export type Field = readonly [offset: number, length: number];

/** Bytes of zeros after `size` bytes of content. */
export function paddingOf(size: number): number {
  const rest = size % blockSize;
  return rest === 0 ? 0 : blockSize - rest;
}
