/**
 * A bill of materials: a scanner image runs as one more step, with what was built mounted read-only, by BuildKit's
 * protocol (moby/buildkit `docs/attestations/sbom-protocol.md`). Like every step it is done once for the same input.
 * Invariant: what the scanner writes is data: it is read in its layer, bounded, and never unpacked.
 */
import { hostPlatform, isTsbuildError, type SourceLocation, TsbuildError } from '../../core/index.ts';
import { digestOf, formatPlatform, scratchConfig } from '../../image/index.ts';
import type { ParsedDockerfile } from '../dockerfile/index.ts';
import { fetchMissing } from '../fetch-missing.ts';
import {
  defaultPath,
  type Plan,
  type PlannedMount,
  type RunOperation,
  type TreeSource,
  variableName,
} from '../plan/index.ts';
import { type Chain, chainDigest, type SolveEnvironment, type StageResult, solvePlan } from '../solve/index.ts';
import type { BuildPorts, BuildRequest, ResolvedImage, SbomRequest } from '../types.ts';
import { describeScans } from './describe-scans.ts';
import { readScans } from './read-scans.ts';
import { scannedBeside } from './scanned-beside.ts';
import type { Attestation } from './statements.ts';

/** Its configuration alone is read, before anything is built. @throws TsbuildError of the image port, `attestation-failed` */
export async function resolveScanner(
  { generator }: SbomRequest,
  { pull }: Pick<BuildRequest, 'pull'>,
  { baseImages, signal }: Pick<BuildPorts, 'baseImages' | 'signal'>,
): Promise<ResolvedImage> {
  const scanner = await baseImages.resolve(generator, { platform: hostPlatform(), pull, signal });
  if (commandOf(scanner).length > 0) return scanner;
  throw new TsbuildError({
    code: 'attestation-failed',
    message: `${generator} cannot make a bill of materials: it has neither an ENTRYPOINT nor a CMD`,
    hint: 'Name a scanner image with --sbom generator=IMAGE.',
  });
}

export interface ScanFacts {
  readonly wanted: SbomRequest;
  readonly scanner: ResolvedImage;
  readonly parsed: ParsedDockerfile;
  readonly plan: Plan;
  readonly results: ReadonlyMap<number, StageResult>;
  readonly environment: SolveEnvironment;
  /** Of the steps' IDs. */
  readonly prefix: string;
  readonly signal: AbortSignal;
}

/** @throws TsbuildError `attestation-failed` when the scanner fails or writes nothing that can be used, `sandbox-*` */
export async function scanImage(facts: ScanFacts): Promise<readonly Attestation[]> {
  const { wanted, plan, results, environment, prefix, signal } = facts;
  const chain = results.get(plan.stages.at(-1)?.id ?? 0)?.chain ?? [];
  const { store, request } = environment;
  // Its layers go nowhere.
  const alone = { ...environment, request: { ...request, exports: [], cacheTo: [] } };
  const scanned = await naming(wanted, () => solvePlan(scanPlan(facts, chain), alone, prefix, signal));
  const steps = scanned.get(0)?.steps ?? [];
  const ensure = fetchMissing(environment);
  const written = await store.tree(
    steps.map(({ layer }) => layer),
    { ensure, signal },
  );
  const scans = await readScans(written, destination, wanted.generator);
  return describeScans(scans, chain, (layer) => store.tree([layer], { ensure, signal }), wanted.builderVersion);
}

const destination = '/run/out';
const sources = '/run/src';

function scanPlan({ wanted, scanner, parsed, plan, results, environment }: ScanFacts, chain: Chain): Plan {
  const target = plan.stages.at(-1);
  const beside = scannedBeside(parsed, plan, environment.request);
  const others = beside.stages.map(({ id, name }): [string, TreeSource] => [
    name,
    treeOf(results.get(id)?.chain ?? []),
  ]);
  const extras: [string, TreeSource][] = [
    ...(beside.context ? [['context', { kind: 'context' }] as [string, TreeSource]] : []),
    ...others,
  ];
  const operation: RunOperation = {
    kind: 'run',
    args: commandOf(scanner),
    env: [
      ...environmentOf(scanner),
      `BUILDKIT_SCAN_DESTINATION=${destination}/`,
      `BUILDKIT_SCAN_SOURCE=${sources}/core/sbom`,
      ...(extras.length > 0 ? [`BUILDKIT_SCAN_SOURCE_EXTRAS=${sources}/extras`] : []),
      ...Object.entries(wanted.parameters).map(([name, value]) => `BUILDKIT_SCAN_${name}=${value}`),
    ],
    cwd: scanner.config.config.WorkingDir || '/',
    user: '',
    network: environment.request.network,
    security: 'sandbox',
    mounts: [
      { kind: 'tmpfs', target: '/tmp' },
      shown(treeOf(chain), `${sources}/core/sbom`),
      ...extras.map(([name, tree]) => shown(tree, `${sources}/extras/sbom-${name}`)),
    ],
  };
  const location = locationOf(parsed, target?.id ?? 0);
  const host = hostPlatform();
  const title = `[${formatPlatform(plan.platform)}] scan with ${wanted.generator}`;
  const stage = {
    id: 0,
    label: 'sbom',
    platform: host,
    base: { kind: 'image', image: scanner } as const,
    steps: [
      {
        title: `${title}: make ready`,
        location,
        operation: { kind: 'make-directory', path: destination, user: '' } as const,
      },
      { title, location, operation },
    ],
    config: scanner.config,
    history: [],
    ignoreCache: target?.ignoreCache ?? false,
  };
  return { platform: host, stages: [stage] };
}

function shown(source: TreeSource, target: string): PlannedMount {
  return { kind: 'bind', source, sourcePath: '/', target, readOnly: true };
}

/** What was built, as a tree to mount. */
function treeOf(chain: Chain): TreeSource {
  if (chain.length === 0) return { kind: 'empty' };
  const platform = hostPlatform();
  const digest = chainDigest(chain) ?? digestOf('');
  return {
    kind: 'image',
    image: { reference: digest, digest, platform, config: scratchConfig(platform), layers: chain },
  };
}

function commandOf({ config }: ResolvedImage): readonly string[] {
  return [...(config.config.Entrypoint ?? []), ...(config.config.Cmd ?? [])];
}

function environmentOf({ config }: ResolvedImage): readonly string[] {
  const { Env = [] } = config.config;
  return Env.some((entry) => variableName(entry) === 'PATH') ? Env : [...Env, `PATH=${defaultPath}`];
}

/** The stage that is scanned. */
function locationOf(parsed: ParsedDockerfile, stage: number): SourceLocation {
  const start = { line: 1, column: 1 };
  return { file: parsed.file, text: parsed.text, range: parsed.stages[stage]?.from.range ?? { start, end: start } };
}

/** No line of the Dockerfile is to blame for what a scanner does. */
async function naming<T>({ generator }: SbomRequest, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isTsbuildError(error) || error.code !== 'build-run-failed') throw error;
    throw new TsbuildError({
      code: 'attestation-failed',
      message: `no bill of materials was made: ${error.message}`,
      hint: `What ${generator} printed says why. Name another scanner with --sbom generator=IMAGE, or leave --sbom out.`,
      log: error.log,
      cause: error,
    });
  }
}
