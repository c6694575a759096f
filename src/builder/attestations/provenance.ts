/**
 * SLSA provenance of one image, with the members BuildKit gives it (moby/buildkit `docs/attestations/slsa-definitions.md`).
 * Invariant: nothing in it depends on the machine but the platform, the times and the ID of the build, and the place of the
 * context in its git work tree.
 */
import { randomBytes } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { canonicalJson, hostPlatform, TsbuildError } from '../../core/index.ts';
import { digestHex, digestOf, formatPlatform } from '../../image/index.ts';
import type { ParsedDockerfile } from '../dockerfile/index.ts';
import type { Plan } from '../plan/index.ts';
import { rfc3339 } from '../rfc3339.ts';
import type { StageResult } from '../solve/index.ts';
import type { BuildRequest, BuiltImage, ProvenanceRequest } from '../types.ts';
import { buildConfig } from './build-config.ts';
import { entryPoint, parametersOf } from './parameters.ts';
import { localNames, type SourceFacts, type Sources, sourcesOf } from './sources.ts';
import type { Attestation } from './statements.ts';
import { workTreeFacts } from './work-tree.ts';

/** The structure of what follows, not who built. */
const buildType = 'https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md';
const oldBuildType = 'https://mobyproject.org/buildkit@v1';

export interface ProvenanceFacts extends SourceFacts {
  readonly parsed: ParsedDockerfile;
  readonly results: ReadonlyMap<number, StageResult>;
  readonly run: BuildRun;
}

/** One build of all platforms. */
export interface BuildRun {
  readonly id: string;
  /** RFC 3339. */
  readonly startedOn: string;
  readonly finishedOn: string;
}

/** With SOURCE_DATE_EPOCH equal builds tell the same: its time, and an ID made of what was built. */
export function buildRun(
  epoch: number | undefined,
  started: number,
  finished: number,
  images: readonly BuiltImage[],
): BuildRun {
  const time = epoch === undefined ? undefined : rfc3339(epoch * 1000);
  const hex =
    time === undefined
      ? randomBytes(16).toString('hex')
      : digestHex(digestOf(canonicalJson([time, images.map(({ manifest }) => manifest.digest)]))).slice(0, 32);
  return {
    id: BigInt(`0x${hex}`).toString(36).padStart(25, '0'),
    startedOn: time ?? rfc3339(started),
    finishedOn: time ?? rfc3339(finished),
  };
}

export async function provenanceOf(
  facts: ProvenanceFacts,
  wanted: ProvenanceRequest,
): Promise<{ readonly attestation: Attestation; readonly old: object }> {
  const sources = await sourcesOf(facts);
  const predicate = slsaPredicate(facts, wanted, sources);
  const isOld = wanted.version === 'v0.2';
  const old = slsa02Of(predicate);
  const attestation = {
    predicateType: isOld ? 'https://slsa.dev/provenance/v0.2' : 'https://slsa.dev/provenance/v1',
    predicate: isOld ? old : predicate,
    fileName: wanted.fileName,
    inlineOnly: wanted.inlineOnly,
  };
  return { attestation, old };
}

/** @throws TsbuildError `attestation-failed` for what complete-materials does not allow */
export function requireComplete(request: BuildRequest, plan: Plan): void {
  const locals = localNames(request, plan);
  if (locals.length === 0) return;
  throw new TsbuildError({
    code: 'attestation-failed',
    message: `complete-materials was asked for, but nobody else can have ${locals.join(', ')} again: local sources`,
    hint: 'Build from a git repository or an address, or leave complete-materials out.',
  });
}

type Predicate = ReturnType<typeof slsaPredicate>;

function slsaPredicate(facts: ProvenanceFacts, wanted: ProvenanceRequest, sources: Sources) {
  const { request, plan, parsed, results, run } = facts;
  const { mode, builderId, builderVersion, reproducible } = wanted;
  const { parameters, isComplete } = parametersOf(request, plan, sources, mode);
  const config = mode === 'max' ? buildConfig(request, parsed, plan, results) : undefined;
  const vcs = wanted.vcs ? vcsOf(facts.request) : {};
  const isWhole = sources.locals.length === 0;
  const info = {
    filename: entryPoint(request),
    language: 'Dockerfile',
    data: Buffer.from(parsed.text).toString('base64'),
  };
  return {
    buildDefinition: {
      buildType,
      externalParameters: {
        configSource: { ...sources.context, path: entryPoint(request) },
        request: parameters,
      },
      internalParameters: {
        ...(config && { buildConfig: { llbDefinition: config.steps } }),
        builderPlatform: formatPlatform(hostPlatform()),
      },
      ...(sources.materials.length > 0 && { resolvedDependencies: sources.materials }),
    },
    runDetails: {
      builder: { id: builderId, version: { tsbuild: builderVersion } },
      metadata: {
        invocationId: run.id,
        startedOn: run.startedOn,
        finishedOn: run.finishedOn,
        buildkit_metadata: config
          ? { ...vcs, source: { locations: config.locations, infos: [info] }, layers: config.layers }
          : vcs,
        ...(isWhole && !usesNetwork(facts) && { buildkit_hermetic: true }),
        buildkit_completeness: { request: isComplete, resolvedDependencies: isWhole },
        ...(reproducible && { buildkit_reproducible: true }),
      },
    },
  };
}

/** The same in the older form, as BuildKit converts it. */
function slsa02Of({ buildDefinition, runDetails }: Predicate): object {
  const { configSource, request } = buildDefinition.externalParameters;
  const { buildConfig: config, builderPlatform } = buildDefinition.internalParameters;
  const { path, ...where } = configSource;
  const { metadata } = runDetails;
  const { resolvedDependencies: materials } = buildDefinition;
  return {
    builder: { id: runDetails.builder.id },
    buildType: oldBuildType,
    ...(materials && { materials }),
    invocation: {
      configSource: { ...where, entryPoint: path },
      parameters: request,
      environment: { platform: builderPlatform },
    },
    ...(config && { buildConfig: config }),
    metadata: {
      buildInvocationID: metadata.invocationId,
      buildStartedOn: metadata.startedOn,
      buildFinishedOn: metadata.finishedOn,
      completeness: {
        parameters: metadata.buildkit_completeness.request,
        environment: true,
        materials: metadata.buildkit_completeness.resolvedDependencies,
      },
      reproducible: metadata.buildkit_reproducible === true,
      'https://mobyproject.org/buildkit@v1#metadata': metadata.buildkit_metadata,
      ...(metadata.buildkit_hermetic && { 'https://mobyproject.org/buildkit@v1#hermetic': true }),
    },
  };
}

/** A hint, as buildx gives it for a folder of this machine. */
function vcsOf({ context, dockerfile }: BuildRequest): { readonly vcs?: Readonly<Record<string, string>> } {
  if (context.kind !== 'directory') return {};
  const isFile = dockerfile !== undefined && dockerfile !== '-' && !/^https?:/.test(dockerfile);
  const vcs = workTreeFacts(context.path, isFile ? dirname(resolve(dockerfile)) : context.path);
  return Object.keys(vcs).length === 0 ? {} : { vcs };
}

function usesNetwork({ plan }: ProvenanceFacts): boolean {
  const steps = plan.stages.flatMap((stage) => stage.steps);
  return steps.some(({ operation }) => operation.kind === 'run' && operation.network !== 'none');
}
