/** What the builder's own OCI artifacts have in common: an empty configuration, and that there may be none yet. */
import { isTsbuildError } from '../core/index.ts';
import { type BlobSink, type BlobSource, type Descriptor, describe, mediaTypes } from '../image/index.ts';

const emptyConfig = Buffer.from('{}');

/** OCI image spec, manifest.md, "Guidance for an Empty Descriptor". */
export const emptyDescriptor: Descriptor = {
  ...describe(mediaTypes.ociEmpty, emptyConfig),
  data: emptyConfig.toString('base64'),
};

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
  await sink.put(descriptor, async () => once(bytes), { signal });
}

/** Puts the configuration every artifact has. */
export async function putEmptyConfig(sink: BlobSink, signal: AbortSignal): Promise<void> {
  await putBytes(sink, emptyDescriptor, emptyConfig, signal);
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
