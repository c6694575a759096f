/**
 * The bytes of one entry for an export, read from where they lie.
 * Invariant: exactly as many bytes as the entry says, or an error that names it; memory is one chunk.
 */
import { closeSync, readSync } from 'node:fs';
import { bytePathToText, TsbuildError } from '../../core/index.ts';
import type { LayerEntry } from '../types.ts';
import { ContentReader } from '../worker/content-reader.ts';

const chunkSize = 512 * 1024;

export class EntryBytes {
  readonly #reader = new ContentReader();

  /** Pieces with their place in the file; what lies between them is zeros. Each is valid until the next is asked for. */
  *pieces(entry: LayerEntry): Generator<{ readonly bytes: Uint8Array; readonly position: number }> {
    const { content, size } = entry;
    if (size === 0) return;
    if (content?.kind === 'bytes') {
      yield { bytes: content.bytes, position: 0 };
    } else if (content?.kind === 'range') {
      const fd = this.#reader.file(content.file);
      let from = content.offset;
      for (const { position, length } of content.segments ?? [{ position: 0, length: size }]) {
        yield* this.#read(fd, entry, from, position, length);
        from += length;
      }
    } else if (content?.kind === 'file') {
      const fd = this.#reader.open(content, size);
      try {
        yield* this.#read(fd, entry, 0, 0, size);
      } finally {
        closeSync(fd);
      }
    } else {
      throw new TsbuildError({ code: 'internal', message: `${bytePathToText(entry.path)} has no content` });
    }
  }

  close(): void {
    this.#reader.close();
  }

  *#read(
    fd: number,
    entry: LayerEntry,
    from: number,
    position: number,
    length: number,
  ): Generator<{ readonly bytes: Uint8Array; readonly position: number }> {
    for (let done = 0; done < length; ) {
      const buffer = Buffer.allocUnsafe(Math.min(chunkSize, length - done));
      const count = readSync(fd, buffer, 0, buffer.length, from + done);
      if (count === 0) {
        throw new TsbuildError({
          code: 'layer-damaged',
          message: `the content of ${bytePathToText(entry.path)} ends after ${done} of ${length} bytes`,
          hint: 'Run the command again; the layer is fetched or built anew.',
        });
      }
      yield { bytes: buffer.subarray(0, count), position: position + done };
      done += count;
    }
  }
}
