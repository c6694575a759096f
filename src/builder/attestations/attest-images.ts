/**
 * What a build says of its images: made when they are there, kept beside them.
 * Invariant: an image is the same bytes with and without it.
 */
import type { Descriptor } from '../../image/index.ts';
import type { Store } from '../../layers/index.ts';
import type { ParsedDockerfile } from '../dockerfile/index.ts';
import type { Plan } from '../plan/index.ts';
import type { StageResult } from '../solve/index.ts';
import type { BuildRequest, BuiltImage } from '../types.ts';
import { buildRun, provenanceOf } from './provenance.ts';
import type { SourceFacts } from './sources.ts';
import { type Attestation, imageSubjects, putStatements, statementOf } from './statements.ts';

export interface AttestFacts extends Pick<SourceFacts, 'context' | 'fetched'> {
  readonly request: BuildRequest;
  readonly store: Store;
  readonly parsed: ParsedDockerfile;
  readonly images: readonly AttestedImage[];
  /** Milliseconds since 1970. */
  readonly started: number;
  readonly finished: number;
}

/** An image and how it was made. */
export interface AttestedImage {
  readonly image: BuiltImage;
  readonly plan: Plan;
  readonly results: ReadonlyMap<number, StageResult>;
}

export interface Attested {
  /** For the index, in the order of the images. */
  readonly entries: readonly Descriptor[];
  readonly attestations: ReadonlyMap<BuiltImage, readonly Attestation[]>;
  /** Predicates in the form of SLSA v0.2. */
  readonly provenance: ReadonlyMap<BuiltImage, object>;
}

export async function attestImages({ images, store, ...facts }: AttestFacts): Promise<Attested> {
  const { request, started, finished } = facts;
  const made = images.map(({ image }) => image);
  const run = buildRun(request.sourceDateEpoch, started, finished, made);
  const attestations = new Map<BuiltImage, readonly Attestation[]>();
  const provenance = new Map<BuiltImage, object>();
  const entries: Descriptor[] = [];
  for (const { image, plan, results } of images) {
    const wanted = request.attestations?.provenance;
    const origin = wanted && (await provenanceOf({ ...facts, plan, results, run }, wanted));
    if (origin) provenance.set(image, origin.old);
    const said = origin ? [origin.attestation] : [];
    const subjects = imageSubjects(request.tags, image.manifest.digest, image.platform);
    const statements = said.map((one) => statementOf(one, subjects));
    entries.push(await putStatements(store, image.manifest, statements, { isArtifact: true }));
    attestations.set(image, said);
  }
  return { entries, attestations, provenance };
}
