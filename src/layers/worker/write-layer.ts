/**
 * The job that writes a layer: entries in the order they come, contents read from where they lie, one pass.
 */

import { hash as hashOnce } from 'node:crypto';
import { closeSync } from 'node:fs';
import { TsbuildError } from '../../core/index.ts';
import { createDigestHasher, type Digest, digestHex } from '../../image/index.ts';
import { refuseReservedName } from '../tar/layer-path.ts';
import { shown } from '../tar/tar-errors.ts';
import { type EntryTable, EntryTableView } from '../tree/entry-table.ts';
import type { EntryContent, LayerEntry } from '../types.ts';
import { ContentReader } from './content-reader.ts';
import type { JobControl } from './job-control.ts';
import { LayerDraft } from './layer-draft.ts';
import { layerFailure } from './system-error.ts';

export interface WriteLayerInput {
  readonly entries: EntryTable;
  readonly draft: string;
  readonly latestMtime?: bigint;
  readonly hashFiles?: boolean;
}

export interface WriteLayerOutput {
  readonly diffId: Digest;
  readonly size: number;
  /** 32 bytes of sha256 for each entry, in their order; of what is no file they mean nothing. */
  readonly fileDigests?: Uint8Array;
}

/** Bytes of a sha256. */
const sumSize = 32;
/** Read in one call, straight into the draft's buffer. */
const smallFile = 128 * 1024;

export function writeLayer(input: WriteLayerInput, control: JobControl, buffer?: Buffer): WriteLayerOutput {
  const view = new EntryTableView(input.entries);
  const reader = new ContentReader();
  const draft = new LayerDraft(input.draft, control, buffer);
  const digests = input.hashFiles ? Buffer.alloc(input.entries.count * sumSize) : undefined;
  try {
    for (let number = 0; number < input.entries.count; number++) {
      const entry = clamped(view.entry(number), input.latestMtime);
      refuseReservedName(entry.path);
      draft.header(entry);
      const sum = entry.kind === 'file' ? writeContent(draft, reader, entry, digests !== undefined) : undefined;
      if (sum !== undefined) digests?.write(sum, number * sumSize, 'hex');
    }
    const { diffId, size } = draft.finish();
    return { diffId, size, ...(digests && { fileDigests: digests }) };
  } catch (error) {
    throw layerFailure(error, 'writing a layer');
  } finally {
    draft.close();
    reader.close();
  }
}

export function clamped<T extends { readonly mtime: bigint }>(entry: T, latest: bigint | undefined): T {
  return latest !== undefined && entry.mtime > latest ? { ...entry, mtime: latest } : entry;
}

/** @returns the sha256 of a file, hexadecimal */
function writeContent(
  draft: LayerDraft,
  reader: ContentReader,
  entry: LayerEntry,
  hashed: boolean,
): string | undefined {
  const { content, size } = entry;
  if (!content && size > 0) {
    throw new TsbuildError({ code: 'internal', message: `${shown(entry.path)} has ${size} bytes and no content` });
  }
  if (content?.kind === 'file' && size <= smallFile) {
    const bytes = draft.inPlace(size, (buffer, offset) => reader.readSmall(content, buffer, offset, size));
    // The padding may flush the buffer: hash before it.
    const sum = hashed ? hashOnce('sha256', bytes, 'hex') : undefined;
    draft.endContent(size);
    return sum;
  }
  const hasher = hashed ? createDigestHasher() : undefined;
  const take = (piece: Uint8Array) => hasher?.update(piece);
  if (content) copyContent(draft, reader, content, size, take);
  draft.endContent(size);
  return hasher && digestHex(hasher.digest());
}

function copyContent(
  draft: LayerDraft,
  reader: ContentReader,
  content: EntryContent,
  size: number,
  take: (piece: Uint8Array) => void,
): void {
  switch (content.kind) {
    case 'bytes':
      if (content.bytes.length !== size) {
        throw new TsbuildError({ code: 'internal', message: `an entry of ${size} bytes has ${content.bytes.length}` });
      }
      draft.bytes(content.bytes);
      take(content.bytes);
      return;
    case 'range':
      return copyRange(draft, reader.file(content.file), content, size, take);
    case 'file': {
      const fd = reader.open(content, size);
      try {
        const read = draft.copy(fd, 0, size, take);
        reader.verifyUnchanged(content, fd, size, read);
      } finally {
        closeSync(fd);
      }
    }
  }
}

function copyRange(
  draft: LayerDraft,
  fd: number,
  content: Extract<EntryContent, { kind: 'range' }>,
  size: number,
  take: (piece: Uint8Array) => void,
): void {
  let from = content.offset;
  let at = 0;
  for (const { position, length } of content.segments ?? [{ position: 0, length: size }]) {
    draft.zeros(position - at, take);
    if (draft.copy(fd, from, length, take) !== length) {
      throw new TsbuildError({
        code: 'layer-damaged',
        message: `${content.file} ends before the content of an entry does`,
        hint: 'Run the command again; the layer is fetched or built anew.',
      });
    }
    from += length;
    at = position + length;
  }
  draft.zeros(size - at, take);
}
