/**
 * In-toto statements (in-toto attestation spec v1, as BuildKit writes them) and where they stand beside an image.
 * Invariant: the image's own manifest does not depend on them; only the index does.
 */
import {
  attestationConfig,
  attestationEntry,
  attestationManifest,
  type Descriptor,
  type Digest,
  digestAlgorithm,
  digestHex,
  emptyBlob,
  mediaTypes,
  type Platform,
  packageUrl,
  parseReference,
  serializeImageConfig,
  serializeManifest,
  statementLayer,
} from '../../image/index.ts';
import type { Store } from '../../layers/index.ts';

export interface Subject {
  readonly name: string;
  /** By algorithm: `{ sha256: '…' }`. */
  readonly digest: Readonly<Record<string, string>>;
}

/** What is said of an image. */
export interface Attestation {
  readonly predicateType: string;
  readonly predicate: unknown;
  /** What it is about. Default: the image. */
  readonly subjects?: readonly Subject[];
  /** In folders and tars of files. */
  readonly fileName: string;
  readonly inlineOnly: boolean;
}

export interface Statement {
  readonly _type: string;
  readonly predicateType: string;
  readonly subject: readonly Subject[];
  readonly predicate: unknown;
}

export function statementOf(
  { predicateType, predicate, subjects = [] }: Attestation,
  otherwise: readonly Subject[],
): Statement {
  const subject = subjects.length > 0 ? subjects : otherwise;
  return { _type: 'https://in-toto.io/Statement/v1', predicateType, subject, predicate };
}

export function isSubject(value: unknown): value is Subject {
  const { name, digest } = (value ?? {}) as Partial<Subject>;
  const isMap = typeof digest === 'object' && digest !== null;
  return typeof name === 'string' && isMap && Object.values(digest).every((text) => typeof text === 'string');
}

/** An image under each of its names; `_` where it has none. */
export function imageSubjects(names: readonly string[], digest: Digest, platform: Platform | undefined): Subject[] {
  const found = names.map((name) => packageUrl('docker', parseReference(name), platform));
  return (found.length > 0 ? found : ['_']).map((name) => ({ name, digest: digestSet(digest) }));
}

export function digestSet(digest: Digest): Readonly<Record<string, string>> {
  return { [digestAlgorithm(digest)]: digestHex(digest) };
}

/** Puts statements about an image into the store. @returns their entry in the index */
export async function putStatements(
  store: Store,
  image: Descriptor,
  statements: readonly Statement[],
  options: { readonly isArtifact: boolean },
): Promise<Descriptor> {
  const layers: Descriptor[] = [];
  for (const statement of statements) {
    const blob = await store.putBytes(mediaTypes.inToto, Buffer.from(JSON.stringify(statement)));
    layers.push(statementLayer(blob, statement.predicateType));
  }
  return putAttestationManifest(store, image, layers, options);
}

export async function putAttestationManifest(
  store: Store,
  image: Descriptor,
  layers: readonly Descriptor[],
  { isArtifact }: { readonly isArtifact: boolean },
): Promise<Descriptor> {
  const config = isArtifact
    ? await store.putBytes(mediaTypes.ociEmpty, emptyBlob)
    : await store.putBytes(mediaTypes.ociConfig, serializeImageConfig(attestationConfig(layers)));
  const manifest = attestationManifest(image, layers, isArtifact ? undefined : config);
  return attestationEntry(await store.putBytes(manifest.mediaType, serializeManifest(manifest)), image.digest);
}
