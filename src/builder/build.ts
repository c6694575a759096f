/**
 * One build from request to result: read the Dockerfile, resolve the bases, plan, solve, assemble, deliver. The order is
 * the point: every mistake that can be told from text is told before anything is fetched or run.
 */
import { type EventSink, hostPlatform, TsbuildError } from '../core/index.ts';
import type { Platform } from '../image/index.ts';
import { BuildSandbox } from './build-sandbox.ts';
import { StepCache } from './cache/index.ts';
import { KeptCacheMounts } from './cache-mounts/index.ts';
import { type ContextFiles, openContexts } from './contexts.ts';
import { type Diagnostic, goBool, type ParsedDockerfile, parseDockerfile } from './dockerfile/index.ts';
import { withEpoch } from './epoch.ts';
import { assembleImage, assembleIndex, checkDestinations, completeStore, deliver, nameImage } from './export/index.ts';
import { findEmulators } from './foreign-platforms.ts';
import { type ImageSteps, inlineAnnotation, KeptSteps } from './kept-steps/index.ts';
import {
  imageStages,
  type Outline,
  outlineOf,
  type Plan,
  type PlanOptions,
  planBuild,
  surveyStages,
} from './plan/index.ts';
import { resolveBases } from './resolve-bases.ts';
import { readSecret } from './secrets.ts';
import { type SolveEnvironment, type StageResult, solvePlan } from './solve/index.ts';
import { openAgents } from './ssh/index.ts';
import type { BuildPorts, BuildRequest, BuildResult, BuiltImage, ResolvedImage } from './types.ts';
import { collectWarnings, refuseWarnings } from './warnings.ts';

/**
 * Builds, names and delivers. When it throws, finished steps stay in the cache and nothing half-done is left.
 * @throws TsbuildError
 */
export async function build(asked: BuildRequest, ports: BuildPorts): Promise<BuildResult> {
  const started = ports.now();
  await using contexts = await openContexts(asked, ports);
  contexts.lookAhead();
  const parsed = await readDockerfile(contexts);
  const request = await withEpoch(asked, parsed, () => contexts.context(undefined));
  const plans = await planAll(parsed, request, ports);
  const warnings = collectWarnings(parsed, {
    buildArgs: request.buildArgs,
    plans,
    isIgnored: await contexts.ignored(copiesFiles(parsed)),
  });
  refuseWarnings(parsed, warnings);
  const { attestations } = request;
  const attesting =
    attestations &&
    (await import('./attestations/index.ts').then(({ beginAttesting }) =>
      beginAttesting(attestations, { request, parsed, plans, context: contexts.context, started }, ports),
    ));
  await using sandbox = new BuildSandbox(request, ports, plans, (attesting?.commands ?? 0) * plans.length);
  await using agents = await openAgents(request.ssh);
  const cacheMounts = new KeptCacheMounts(request, ports);
  cacheMounts.checkNames(plans);
  const keptSteps = new KeptSteps(request, ports);
  await checkDestinations(request, ports);
  const environment: SolveEnvironment = {
    request,
    store: ports.store,
    steps: new StepCache(ports.store, keptSteps),
    sandbox,
    baseImages: ports.baseImages,
    events: ports.events,
    now: ports.now,
    openContext: (name) => contexts.open(name),
    readSecret,
    sshAgents: agents.sockets,
    emulators: findEmulators(plans),
    cacheMounts,
    ...(attesting && { onFetched: attesting.onFetched }),
    onRunFailed: ports.onRunFailed,
  };
  const images: (BuiltImage & Pick<StageResult, 'chain'>)[] = [];
  const steps: ImageSteps[] = [];
  for (const [index, plan] of plans.entries()) {
    const prefix = plans.length > 1 ? `${index}.` : '';
    const results = await solvePlan(plan, environment, prefix, ports.signal);
    const made = stepsOf(plan, results);
    steps.push(made);
    const image = await assembleImage(ports.store, plan.stages, results, {
      annotations: request.annotations,
      ...(namesSteps(request) && { added: inlineAnnotation(made.own) }),
      ...(request.sourceDateEpoch !== undefined && { epoch: request.sourceDateEpoch }),
    });
    const built = { ...image, chain: results.get(plan.stages.at(-1)?.id ?? 0)?.chain ?? [] };
    images.push(built);
    await attesting?.add({ image: built, plan, results }, environment, prefix);
  }
  const attested = await attesting?.finish();
  const [only] = images;
  const single = images.length === 1 && !wantsIndex(request) && !attested ? only : undefined;
  const target = single
    ? single.manifest
    : await assembleIndex(ports.store, images, request.annotations, attested?.entries);
  if (needsWholeStore(request)) await completeStore({ images }, ports);
  await nameImage(ports, target, request.tags);
  await deliver({ images, target, request, ...(attested && { attestations: attested.attestations }) }, ports);
  await cacheMounts.leave();
  await keptSteps.leave(steps);
  await contexts.save();
  emitWarnings(parsed, warnings, ports.events);
  await sandbox.close();
  return { images, target, tags: request.tags, ...(attested && { provenance: attested.provenance }) };
}

/** The plans of a request, one per platform, without building anything: for `--call=plan` and checks. */
export async function planRequest(request: BuildRequest, ports: BuildPorts): Promise<readonly Plan[]> {
  await using contexts = await openContexts(request, ports);
  const parsed = await readDockerfile(contexts);
  return planAll(parsed, await withEpoch(request, parsed, () => contexts.context(undefined)), ports);
}

/** What the target of a request can be given. */
export async function outlineRequest(
  request: BuildRequest,
  ports: BuildPorts,
): Promise<{ readonly parsed: ParsedDockerfile; readonly outline: Outline }> {
  await using contexts = await openContexts(request, ports);
  const parsed = await readDockerfile(contexts);
  const [plan] = await planAll(parsed, request, ports);
  if (!plan) throw new Error('a request has at least one platform');
  return { parsed, outline: outlineOf(parsed, plan, planOptions(request, plan.platform)) };
}

/** The build checks' findings, without resolving or building anything. */
export async function checkRequest(
  request: BuildRequest,
  ports: BuildPorts,
): Promise<{ readonly parsed: ParsedDockerfile; readonly warnings: readonly Diagnostic[] }> {
  await using contexts = await openContexts(request, ports);
  const parsed = await readDockerfile(contexts);
  const isIgnored = await contexts.ignored(copiesFiles(parsed));
  return { parsed, warnings: collectWarnings(parsed, { buildArgs: request.buildArgs, isIgnored }) };
}

function stepsOf({ stages }: Plan, results: ReadonlyMap<number, StageResult>): ImageSteps {
  return {
    own: imageStages(stages).flatMap(({ id }) => results.get(id)?.steps ?? []),
    all: [...results.values()].flatMap(({ steps }) => steps),
  };
}

function copiesFiles({ stages }: ParsedDockerfile): boolean {
  return stages.some(({ instructions }) => instructions.some(({ kind }) => kind === 'copy' || kind === 'add'));
}

async function readDockerfile(contexts: ContextFiles): Promise<ParsedDockerfile> {
  const { name, text } = await contexts.readDockerfile();
  const parsed = parseDockerfile(text, name);
  const [mistake, ...others] = parsed.diagnostics.filter(
    ({ severity, whenBuilt }) => severity === 'error' && !whenBuilt,
  );
  if (mistake) throw asError(parsed, mistake, others);
  return parsed;
}

async function planAll(parsed: ParsedDockerfile, request: BuildRequest, ports: BuildPorts): Promise<Plan[]> {
  const platforms = request.platforms.length === 0 ? [hostPlatform()] : request.platforms;
  const images = new Map<string, ResolvedImage>();
  const plans: Plan[] = [];
  for (const targetPlatform of platforms) {
    const options = planOptions(request, targetPlatform);
    const stages = parsed.stages.flatMap((stage) => stage.from.name ?? []);
    let survey = surveyStages(parsed, options, images);
    while (survey.missing.length > 0) {
      const names = { file: parsed.file, text: parsed.text, stages, variables: [...survey.globals.keys()] };
      for (const [key, image] of await resolveBases(survey.missing, names, request, ports)) images.set(key, image);
      survey = surveyStages(parsed, options, images);
    }
    plans.push(planBuild(parsed, options, survey, images));
  }
  return plans;
}

function planOptions(request: BuildRequest, targetPlatform: Platform): PlanOptions {
  return {
    buildArgs: request.buildArgs,
    namedContexts: request.namedContexts,
    labels: request.labels,
    buildPlatform: hostPlatform(),
    targetPlatform,
    platformRequested: request.platforms.length > 0,
    network: request.network,
    noCache: request.noCache,
    noCacheFilter: request.noCacheFilter,
    ...(request.target !== undefined && { target: request.target }),
  };
}

/** `--cache-to type=inline`, and the build argument docker has for it. */
function namesSteps({ inlineCache, buildArgs }: BuildRequest): boolean {
  return inlineCache || goBool(buildArgs.BUILDKIT_INLINE_CACHE ?? '') === true;
}

/** The build argument docker has to get an index even for one platform. */
function wantsIndex({ buildArgs }: BuildRequest): boolean {
  return goBool(buildArgs.BUILDKIT_MULTI_PLATFORM ?? '') ?? false;
}

/** A build that only pushes leaves the base's layers where they are. */
function needsWholeStore({ exports }: BuildRequest): boolean {
  const pushed =
    exports.length > 0 && exports.every((one) => one.kind === 'registry' || (one.kind === 'image' && one.push));
  return !pushed;
}

function emitWarnings(parsed: ParsedDockerfile, warnings: readonly Diagnostic[], events: EventSink): void {
  for (const { code, message, range } of warnings) {
    events({
      kind: 'notice',
      level: 'warning',
      code,
      message,
      source: { file: parsed.file, text: parsed.text, range },
    });
  }
}

/** The first mistake; its hint names the lines of the others, so that one run is enough to mend all. */
function asError(
  parsed: ParsedDockerfile,
  { code, message, hint, range }: Diagnostic,
  others: readonly Diagnostic[],
): TsbuildError {
  const lines = [...new Set(others.map((other) => other.range.start.line))].filter((line) => line !== range.start.line);
  const more = lines.length === 0 ? '' : `There are mistakes in ${lineList(lines)}, too.`;
  const whole = [hint ?? '', more].filter((part) => part !== '').join(' ');
  return new TsbuildError({
    code: code as TsbuildError['code'],
    message,
    source: { file: parsed.file, text: parsed.text, range },
    ...(whole !== '' && { hint: whole }),
  });
}

function lineList(lines: readonly number[]): string {
  const shown = lines.slice(0, 5).join(', ');
  const rest = lines.length > 5 ? ` and ${lines.length - 5} more` : '';
  return `${lines.length === 1 ? 'line' : 'lines'} ${shown}${rest}`;
}
