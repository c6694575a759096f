/** The configuration of what has none (OCI image spec, manifest.md, "Guidance for an Empty Descriptor"). */
import { type Descriptor, describe } from './descriptor.ts';
import { mediaTypes } from './media-types.ts';

export const emptyBlob = Buffer.from('{}');

export const emptyDescriptor: Descriptor = {
  ...describe(mediaTypes.ociEmpty, emptyBlob),
  data: emptyBlob.toString('base64'),
};
