export { type ExportTarget, exportTree } from './archive/export-tree.ts';
export type { ArchivedImage, ImageArchive } from './archive/image-archive.ts';
export { openOciLayoutSink, writeOciLayout } from './archive/oci-layout-sink.ts';
export { type OpenArchiveOptions, openArchive } from './archive/open-archive.ts';
export { openOciLayout } from './archive/open-oci-layout.ts';
export { writeOutputFile } from './archive/output-file.ts';
export { checkOutputFile, checkOutputFolder } from './archive/output-place.ts';
export {
  type ArchiveOptions,
  type DockerArchiveOptions,
  type SavedImage,
  writeDockerArchive,
  writeOciArchive,
} from './archive/write-archives.ts';
export { type Listings, Rescan, recordListings } from './native/rescan.ts';
export { openFileBeneath, type ScannedDirectory, scanBeneath, statBeneath } from './native/scan-beneath.ts';
export { fileType } from './native/stat.ts';
export { type FileStamp, latestChange, type StatRecords, stampInode, stampWords } from './native/stat-records.ts';
export type { CheckFinding, CheckOptions, CheckResult } from './store/check.ts';
export type { LocalStore } from './store/local-store.ts';
export { openStore, type StoreOptions } from './store/open-store.ts';
export type { PruneOptions, PruneResult } from './store/prune.ts';
export type { ImageUsage, Usage, UsageRow } from './store/usage.ts';
export type { TarEntry } from './tar/tar-entry.ts';
export { defaultTarLimits, type TarLimits } from './tar/tar-limits.ts';
export { createTarReader, type TarHandlers, type TarReader } from './tar/tar-reader.ts';
export { entryAt, type Present } from './tree/entry-at.ts';
export { readRange } from './tree/merged-tree.ts';
export { resolvePlace } from './tree/resolve-place.ts';
export * from './types.ts';
