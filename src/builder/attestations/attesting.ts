/**
 * What a build says of its images: gathered while it goes on, made when they are there, kept beside them.
 * Invariant: an image is the same bytes with and without it.
 */
import type { Descriptor } from '../../image/index.ts';
import type { BuildContext } from '../context/index.ts';
import type { ParsedDockerfile } from '../dockerfile/index.ts';
import type { Plan } from '../plan/index.ts';
import type { SolveEnvironment, StageResult } from '../solve/index.ts';
import type { AttestationRequest, BuildPorts, BuildRequest, BuiltImage, ResolvedImage } from '../types.ts';
import { buildRun, provenanceOf, requireComplete } from './provenance.ts';
import { resolveScanner, scanImage } from './scan-image.ts';
import { type Attestation, imageSubjects, putStatements, statementOf } from './statements.ts';

export interface AttestingFacts {
  readonly request: BuildRequest;
  readonly parsed: ParsedDockerfile;
  readonly plans: readonly Plan[];
  readonly context: (name: string | undefined) => Promise<BuildContext>;
  /** When the build began: milliseconds since 1970. */
  readonly started: number;
}

export interface Attested {
  /** For the index, in the order of the images. */
  readonly entries: readonly Descriptor[];
  readonly attestations: ReadonlyMap<BuiltImage, readonly Attestation[]>;
  /** Predicates in the form of SLSA v0.2. */
  readonly provenance: ReadonlyMap<BuiltImage, object>;
}

/** An image, how it was made, and its bills of materials. */
interface AttestedImage {
  readonly image: BuiltImage;
  readonly plan: Plan;
  readonly results: ReadonlyMap<number, StageResult>;
  readonly scans: readonly Attestation[];
}

type Ports = Pick<BuildPorts, 'store' | 'baseImages' | 'now' | 'signal'>;

/** Before anything is built: it is known then whether there is a scanner. @throws TsbuildError `attestation-failed` */
export async function beginAttesting(
  wanted: AttestationRequest,
  facts: AttestingFacts,
  ports: Ports,
): Promise<Attesting> {
  if (wanted.provenance?.completeMaterials) for (const plan of facts.plans) requireComplete(facts.request, plan);
  const scanner = wanted.sbom && (await resolveScanner(wanted.sbom, facts.request, ports));
  return new Attesting(wanted, facts, ports, scanner);
}

export class Attesting {
  /** Commands that each image needs beside those of its stages. */
  readonly commands: number;
  readonly #wanted: AttestationRequest;
  readonly #facts: AttestingFacts;
  readonly #ports: Ports;
  readonly #scanner: ResolvedImage | undefined;
  readonly #fetched = new Map<string, string>();
  readonly #images: AttestedImage[] = [];

  constructor(wanted: AttestationRequest, facts: AttestingFacts, ports: Ports, scanner: ResolvedImage | undefined) {
    this.commands = scanner ? 1 : 0;
    this.#wanted = wanted;
    this.#facts = facts;
    this.#ports = ports;
    this.#scanner = scanner;
  }

  /** See `SolveEnvironment`. */
  readonly onFetched = (address: string, identity: string): void => void this.#fetched.set(address, identity);

  /** @param prefix of the IDs of its steps  @throws TsbuildError `attestation-failed`, `sandbox-*` */
  async add(made: Omit<AttestedImage, 'scans'>, environment: SolveEnvironment, prefix: string): Promise<void> {
    const { sbom: wanted } = this.#wanted;
    const scanner = this.#scanner;
    const { parsed } = this.#facts;
    const { signal } = this.#ports;
    const facts = { ...made, parsed, environment, prefix: `${prefix}sbom.`, signal };
    this.#images.push({ ...made, scans: wanted && scanner ? await scanImage({ ...facts, wanted, scanner }) : [] });
  }

  async finish(): Promise<Attested> {
    const { request, started } = this.#facts;
    const { store, now } = this.#ports;
    const made = this.#images.map(({ image }) => image);
    const named = request.exports.flatMap(({ names = [] }) => names);
    const names = request.tags.length > 0 ? request.tags : [...new Set(named)];
    const run = buildRun(request.sourceDateEpoch, started, now(), made);
    const beside = { fetched: this.#fetched, ...(this.#scanner && { images: [this.#scanner] }) };
    const attestations = new Map<BuiltImage, readonly Attestation[]>();
    const provenance = new Map<BuiltImage, object>();
    const entries: Descriptor[] = [];
    for (const { image, plan, results, scans } of this.#images) {
      const wanted = this.#wanted.provenance;
      const origin = wanted && (await provenanceOf({ ...this.#facts, ...beside, plan, results, run }, wanted));
      if (origin) provenance.set(image, origin.old);
      const said = origin ? [...scans, origin.attestation] : scans;
      const subjects = imageSubjects(names, image.manifest.digest, image.platform);
      const statements = said.map((one) => statementOf(one, subjects));
      entries.push(await putStatements(store, image.manifest, statements, { isArtifact: true }));
      attestations.set(image, said);
    }
    return { entries, attestations, provenance };
  }
}
