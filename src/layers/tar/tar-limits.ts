/**
 * Bounds on what an archive may ask for. They are far above honest images and far below what would hurt.
 */
export interface TarLimits {
  /** Entries, whiteouts included. */
  readonly entries: number;
  /** Bytes of one extended header or long name: memory is needed for it. Go's archive/tar allows as much. */
  readonly extendedHeader: number;
  /** Bytes all extended headers may have together for each entry they belong to, on average, beyond the first 64 MiB. */
  readonly extendedHeadersPerEntry: number;
  /** Bytes of one file's content, holes included. */
  readonly fileSize: number;
  /** Data segments of one sparse file. */
  readonly sparseSegments: number;
  /** Bytes after decompression. */
  readonly total: number;
  /** Decompressed bytes for each compressed one, looked at beyond `ratioFrom` decompressed bytes. */
  readonly ratio: number;
  readonly ratioFrom: number;
}

export const defaultTarLimits: TarLimits = {
  entries: 4_000_000,
  extendedHeader: 1024 * 1024,
  extendedHeadersPerEntry: 64 * 1024,
  fileSize: 1024 ** 4,
  sparseSegments: 1_000_000,
  total: 2 * 1024 ** 4,
  ratio: 250,
  ratioFrom: 16 * 1024 ** 3,
};
