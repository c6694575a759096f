/** What the builder's own OCI artifacts have in common: the empty configuration, and that there may be none yet. */
import { isTsbuildError } from '../core/index.ts';
import {
  type BlobSink,
  type BlobSource,
  type Descriptor,
  emptyBlob,
  emptyDescriptor,
  oneChunk,
} from '../image/index.ts';

/** Codes that say there is nothing of that name, or nothing at all yet. */
const absent: ReadonlySet<string> = new Set(['image-not-found', 'registry-not-found', 'image-archive-invalid']);

/** For whoever reads it next. Undefined when nothing has the name. */
export async function resolveIfThere(
  source: BlobSource,
  name: string,
  signal: AbortSignal,
): Promise<Descriptor | undefined> {
  try {
    return await source.resolve(name, signal, { alsoRead: true });
  } catch (error) {
    if (isTsbuildError(error) && absent.has(error.code)) return undefined;
    throw error;
  }
}

export async function putBytes(
  sink: BlobSink,
  descriptor: Descriptor,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  await sink.put(descriptor, async () => oneChunk(bytes), { signal });
}

/** Puts the configuration every artifact has. */
export async function putEmptyConfig(sink: BlobSink, signal: AbortSignal): Promise<void> {
  await putBytes(sink, emptyDescriptor, emptyBlob, signal);
}
