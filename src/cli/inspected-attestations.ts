/** What is said of an image, in the shape `docker buildx imagetools inspect` gives to templates: `.Provenance`, `.SBOM`. */
import { TsbuildError } from '../core/index.ts';
import {
  attestedDigest,
  type Descriptor,
  largestStatement,
  parseManifest,
  predicateTypeOf,
  readBlob,
  readManifest,
} from '../image/index.ts';
import type { ImageView } from './stored-image.ts';

export interface InspectedAttestations {
  readonly Provenance?: { readonly SLSA: unknown };
  readonly SBOM?: { readonly SPDX: unknown; readonly AdditionalSPDXs?: readonly unknown[] };
}

export async function inspectAttestations(
  { source, index, descriptor }: ImageView,
  signal: AbortSignal,
): Promise<InspectedAttestations> {
  const entry = index?.manifests.find((one) => attestedDigest(one) === descriptor.digest);
  if (!entry) return {};
  const document = parseManifest(await readManifest(source, entry, signal), entry.mediaType);
  const provenance: unknown[] = [];
  const bills: unknown[] = [];
  for (const layer of document.kind === 'manifest' ? document.layers : []) {
    const type = predicateTypeOf(layer) ?? '';
    const into = type.startsWith('https://slsa.dev/provenance/') ? provenance : bills;
    if (into === bills && type !== 'https://spdx.dev/Document') continue;
    into.push(predicateOf(await readBlob(source, layer, signal, largestStatement), layer));
  }
  const [bill, ...others] = bills;
  return {
    ...(provenance.length > 0 && { Provenance: { SLSA: provenance[0] } }),
    ...(bill !== undefined && { SBOM: { SPDX: bill, ...(others.length > 0 && { AdditionalSPDXs: others }) } }),
  };
}

function predicateOf(bytes: Buffer, { digest }: Descriptor): unknown {
  try {
    return (JSON.parse(bytes.toString('utf8')) as { predicate?: unknown } | null)?.predicate;
  } catch (cause) {
    throw new TsbuildError({ code: 'manifest-invalid', message: `the statement ${digest} is not JSON`, cause });
  }
}
