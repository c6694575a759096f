/**
 * A tree as one tar, written as it is read.
 * Invariant: the same tree gives the same bytes, those writeLayer would write.
 */
import { endOfArchive, headerBytes } from '../tar/tar-encoder.ts';
import { paddingOf } from '../tar/tar-format.ts';
import type { LayerEntry } from '../types.ts';
import { EntryBytes } from './entry-bytes.ts';
import { writeChunks } from './output.ts';

/** Many small entries travel together. */
const batchSize = 256 * 1024;

export async function writeTreeArchive(
  entries: Iterable<LayerEntry>,
  out: NodeJS.WritableStream,
  signal: AbortSignal,
): Promise<void> {
  await writeChunks(batched(tarOf(entries)), out, signal);
}

function* tarOf(entries: Iterable<LayerEntry>): Generator<Uint8Array> {
  const source = new EntryBytes();
  try {
    for (const entry of entries) {
      yield headerBytes(entry);
      if (entry.kind !== 'file' || entry.size === 0) continue;
      let at = 0;
      for (const { bytes, position } of source.pieces(entry)) {
        yield* zeros(position - at);
        yield bytes;
        at = position + bytes.byteLength;
      }
      yield* zeros(entry.size - at + paddingOf(entry.size));
    }
    yield endOfArchive();
  } finally {
    source.close();
  }
}

function* zeros(count: number): Generator<Uint8Array> {
  for (let left = count; left > 0; left -= batchSize) yield Buffer.alloc(Math.min(left, batchSize));
}

function* batched(chunks: Iterable<Uint8Array>): Generator<Uint8Array> {
  let batch: Uint8Array[] = [];
  let size = 0;
  for (const chunk of chunks) {
    batch.push(chunk);
    size += chunk.byteLength;
    if (size < batchSize) continue;
    yield Buffer.concat(batch);
    batch = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(batch);
}
