/** Bounds on what an archive may unpack to: far above honest ones, far below what would hurt. */
export interface ArchiveLimits {
  readonly entries: number;
  /** Bytes after decompression. */
  readonly bytes: number;
  /** Decompressed bytes for each compressed one, once `ratioFrom` decompressed bytes were seen. */
  readonly ratio: number;
  readonly ratioFrom: number;
}

export const defaultArchiveLimits: ArchiveLimits = {
  entries: 4_000_000,
  bytes: 1024 ** 4,
  ratio: 250,
  ratioFrom: 4 * 1024 ** 3,
};
