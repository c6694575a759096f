/**
 * The entries of an uncompressed tar file and where their bytes lie, through the reader of layers: what tells names and
 * attributes as the bytes they are, sparse files and times as Go's archive/tar and so BuildKit reads them. (tar-stream
 * gives names and attributes as text and no sparse files; it packs the archives of whole images in src/layers/archive/.)
 * Invariant: names are the archive's own and not yet safe; nothing is written.
 */
import { open } from 'node:fs/promises';
import { type ErrorCode, TsbuildError, throwIfAborted } from '../../../core/index.ts';
import { createTarReader, defaultTarLimits, type LayerEntry, type TarEntry } from '../../../layers/index.ts';
import type { ArchiveLimits } from './limits.ts';

const chunkSize = 1024 * 1024;

/**
 * @param file a tar file tsbuild owns: the content of the entries stays in it
 * @throws TsbuildError `archive-invalid`, `archive-too-large`, `cancelled`
 */
export async function scanTar(
  file: string,
  name: string,
  limits: ArchiveLimits,
  signal: AbortSignal,
): Promise<readonly LayerEntry[]> {
  const entries: LayerEntry[] = [];
  const reader = createTarReader(
    { onEntry: (entry) => void entries.push(layerEntry(entry, file)), onData: () => {}, onEntryEnd: () => {} },
    { ...defaultTarLimits, entries: limits.entries, total: limits.bytes },
  );
  await using source = await open(file, 'r');
  const chunk = Buffer.allocUnsafe(chunkSize);
  try {
    for (;;) {
      throwIfAborted(signal);
      const { bytesRead } = await source.read(chunk, 0, chunkSize, null);
      if (bytesRead === 0) break;
      reader.write(chunk.subarray(0, bytesRead));
    }
    reader.end();
  } catch (error) {
    throw inArchive(error, name);
  }
  return entries;
}

function layerEntry(entry: TarEntry, file: string): LayerEntry {
  const { kind, name, mode, uid, gid, size, mtime, linkTarget, device, xattrs, offset, segments } = entry;
  const content =
    kind === 'file' ? ({ kind: 'range', file, offset, size, ...(segments && { segments }) } as const) : undefined;
  return { path: name, kind, mode, uid, gid, size, mtime, linkTarget, device, xattrs, content };
}

/** The reader speaks of layers; here the user named the archive. */
function inArchive(error: unknown, name: string): unknown {
  if (!(error instanceof TsbuildError) || !error.code.startsWith('tar-')) return error;
  const isLimit = error.code === 'tar-limit';
  const code: ErrorCode = isLimit ? 'archive-too-large' : 'archive-invalid';
  return new TsbuildError({
    code,
    message: `${name} cannot be unpacked: ${error.message}`,
    hint: isLimit ? 'Unpack it yourself and copy what you need.' : 'Make the archive again.',
    cause: error,
  });
}
