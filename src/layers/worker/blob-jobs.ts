/**
 * The jobs that read a layer's blob: unpacking it, indexing it, decompressing it. Each verifies the diff ID.
 * None syncs: a blob is synced before it gets its name, and an index that a power loss tore is made again.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { makeDirectories } from '../../core/index.ts';
import type { EntryApplier } from '../apply/entry-applier.ts';
import { LayerApplier } from '../apply/layer-applier.ts';
import type { OverlayXattrPrefix } from '../apply/lower-stack.ts';
import { PlainApplier } from '../apply/plain-applier.ts';
import { createTarReader } from '../tar/tar-reader.ts';
import { LayerIndexBuilder, serializeLayerIndex } from '../tree/layer-index.ts';
import type { JobControl } from './job-control.ts';
import { type LayerBlob, readLayerBytes } from './layer-bytes.ts';
import { layerFailure } from './system-error.ts';

export interface ApplyLayerInput extends LayerBlob {
  /** Made when it is missing; must be empty. After a failure it is half full and the caller's to remove. */
  readonly target: string;
  /** Unpacked layers below, highest first. */
  readonly lowers: readonly string[];
  readonly xattrPrefix: OverlayXattrPrefix;
}

export interface ApplyLayerOutput {
  /** Sentences for the user: what could not be made as the layer says. */
  readonly notes: readonly string[];
}

export async function applyLayer(input: ApplyLayerInput, control: JobControl): Promise<ApplyLayerOutput> {
  makeDirectories(input.target);
  return unpack(new LayerApplier(input), input, control);
}

export interface ApplyPlainInput extends LayerBlob {
  /** A directory that holds what the layers below make; after a failure it is of no use. */
  readonly target: string;
}

/** Unpacks a layer over what is there, whiteouts taking effect at once. */
export async function applyPlain(input: ApplyPlainInput, control: JobControl): Promise<ApplyLayerOutput> {
  return unpack(new PlainApplier(input.target), input, control);
}

async function unpack(applier: EntryApplier, input: LayerBlob, control: JobControl): Promise<ApplyLayerOutput> {
  try {
    const reader = createTarReader(applier);
    await readLayerBytes(input, control, (chunk) => reader.write(chunk));
    reader.end();
    return { notes: applier.finish() };
  } catch (error) {
    throw layerFailure(error, `unpacking the layer ${input.diffId}`);
  } finally {
    applier.close();
  }
}

export interface IndexLayerInput extends LayerBlob {
  readonly draft: string;
}

export async function indexLayer(input: IndexLayerInput, control: JobControl): Promise<{ readonly size: number }> {
  const builder = new LayerIndexBuilder();
  const reader = createTarReader({
    onEntry: (entry) => builder.add(entry),
    onData: () => {},
    onEntryEnd: () => {},
  });
  const { size } = await readLayerBytes(input, control, (chunk) => reader.write(chunk));
  reader.end();
  writeDraft(input.draft, (write) => write(serializeLayerIndex(builder.build())));
  return { size };
}

export interface DecompressInput extends LayerBlob {
  readonly draft: string;
}

export async function decompress(input: DecompressInput, control: JobControl): Promise<{ readonly size: number }> {
  const fd = openDraft(input.draft);
  try {
    const { size } = await readLayerBytes(input, control, (chunk) => writeWholly(fd, chunk));
    return { size };
  } catch (error) {
    throw layerFailure(error, `decompressing the layer ${input.diffId}`);
  } finally {
    closeSync(fd);
  }
}

function writeDraft(path: string, fill: (write: (bytes: Buffer) => void) => void): void {
  const fd = openDraft(path);
  try {
    fill((bytes) => writeWholly(fd, bytes));
  } catch (error) {
    throw layerFailure(error, `writing ${path}`);
  } finally {
    closeSync(fd);
  }
}

function openDraft(path: string): number {
  try {
    return openSync(path, 'wx', 0o644);
  } catch (error) {
    throw layerFailure(error, `making ${path}`);
  }
}

function writeWholly(fd: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
}
