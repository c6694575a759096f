/**
 * Runs a plan: every stage at once, each waiting only for the stages it reads from. A step is looked up by its key and
 * done on a miss; two equal steps of one build are done once.
 */
import { availableParallelism } from 'node:os';
import {
  allOrNothing,
  assertNever,
  isTsbuildError,
  Limiter,
  type SourceLocation,
  type StepInfo,
  TsbuildError,
  throwIfAborted,
} from '../../core/index.ts';
import { chainIdOf } from '../../image/index.ts';
import { type CachedStep, stepKey } from '../cache/index.ts';
import { fetchMissing } from '../fetch-missing.ts';
import {
  imageStages,
  type Operation,
  type Plan,
  type PlannedStage,
  type Step,
  type TreeSource,
} from '../plan/index.ts';
import { publishedForm } from '../published-form.ts';
import { rfc3339 } from '../rfc3339.ts';
import { copyStep } from './copy-step.ts';
import { makeDirectoryStep } from './make-directory-step.ts';
import { RunAhead } from './run-ahead.ts';
import { runStep } from './run-step.ts';
import { layerOf } from './subtree.ts';
import {
  type Chain,
  chainDigest,
  type OpenedSource,
  type SolveEnvironment,
  type StageResult,
  type StepContext,
  type StepWork,
} from './types.ts';

/** @returns the stages' results by id. @throws the first failure; everything else of the build was stopped by then */
export async function solvePlan(
  plan: Plan,
  environment: SolveEnvironment,
  prefix: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<number, StageResult>> {
  const { request, store } = environment;
  const limiter = new Limiter(request.parallelism ?? Math.max(2, availableParallelism()));
  const stages = new Map<number, Promise<StageResult>>();
  const results = new Map<number, StageResult>();
  const underway = new Map<string, Promise<CachedStep>>();
  const opened = new Map<string, Promise<OpenedSource>>();
  const inImage = imageStages(plan.stages);

  const ensure = fetchMissing(environment);

  const noted = new Set<string>();
  const onNote = (message: string): void => {
    if (!noted.has(message)) environment.events({ kind: 'notice', level: 'warning', message });
    noted.add(message);
  };

  const openSource = (source: TreeSource, inner: AbortSignal): Promise<OpenedSource> => {
    const ofChain = async (chain: Chain): Promise<OpenedSource> => ({
      tree: await store.tree(chain, { ensure, signal: inner }),
      digest: chainDigest(chain),
      chain,
    });
    const once = (key: string, open: () => Promise<OpenedSource>) => {
      const promise = opened.get(key) ?? open();
      opened.set(key, promise);
      return promise;
    };
    switch (source.kind) {
      case 'context':
        return environment.openContext(undefined);
      case 'named-context':
        return environment.openContext(source.name);
      case 'empty':
        return ofChain([]);
      case 'image':
        return once(`image ${source.image.digest}`, () => ofChain(source.image.layers));
      case 'stage':
        return once(`stage ${source.stage}`, async () => ofChain((await stageResult(source.stage)).chain));
      default:
        return assertNever(source);
    }
  };

  const sourceDigest = async (source: TreeSource): Promise<OpenedSource['digest']> => {
    if (source.kind === 'stage') return chainDigest((await stageResult(source.stage)).chain);
    if (source.kind === 'image') return chainDigest(source.image.layers);
    return source.kind === 'empty' ? null : undefined;
  };

  const stageResult = (id: number): Promise<StageResult> => {
    const result = stages.get(id);
    if (!result) throw new TsbuildError({ code: 'internal', message: `stage ${id} is not in the plan` });
    return result;
  };

  const baseChain = async (stage: PlannedStage, inner: AbortSignal): Promise<Chain> => {
    switch (stage.base.kind) {
      case 'scratch':
        return [];
      case 'stage':
        return (await stageResult(stage.base.stage)).chain;
      case 'image':
        return stage.base.image.layers;
      case 'context': {
        const source = await environment.openContext(stage.base.name);
        return [await layerOf(environment, source, '/', inner)];
      }
      default:
        return assertNever(stage.base);
    }
  };

  const solveStage = async (stage: PlannedStage, inner: AbortSignal): Promise<StageResult> => {
    let chain = await baseChain(stage, inner);
    let belowDigest = chainDigest(chain);
    const steps: CachedStep[] = [];
    const form = publishedForm(request, inImage.includes(stage));
    await using ahead = new RunAhead();
    for (const [index, step] of stage.steps.entries()) {
      const above = stage.steps[index + 1];
      const info: StepInfo = { id: stepId(prefix, stage, index), title: step.title, source: step.location };
      // A step starts when what it reads from is there, so that its time is its own.
      for (const source of sourcesOf(step.operation)) await sourceDigest(source);
      const done = await reportStep(info, inner, async () => {
        const context: StepContext = {
          environment,
          id: info.id,
          step,
          below: chain,
          belowDigest,
          platform: stage.platform,
          ignoreCache: stage.ignoreCache,
          ...(form && { form }),
          openSource: (source) => openSource(source, inner),
          sourceDigest,
          ensure,
          onNote,
          signal: inner,
          next: above && { id: stepId(prefix, stage, index + 1), step: above },
        };
        return doStep(context, ahead);
      });
      if (done.cached) await ahead.drop();
      if (done.cached && step.operation.kind === 'run') environment.sandbox.leave();
      chain = [...chain, done.layer];
      belowDigest = chainIdOf(belowDigest ?? undefined, done.layer.diffId);
      steps.push(done);
    }
    const result = { chain, steps };
    results.set(stage.id, result);
    return result;
  };

  const doStep = async (context: StepContext, ahead: RunAhead): Promise<CachedStep & { cached: boolean }> => {
    const { step, belowDigest, platform, ignoreCache } = context;
    const work = await workFor(context, step.operation, ahead);
    const keyOf = (inputs: StepWork['inputs']) =>
      stepKey({ operation: work.operation, below: work.dependsOnBelow ? belowDigest : null, inputs, platform });
    const keys = [keyOf(work.inputs)];
    if (!ignoreCache) {
      const found = await environment.steps.lookUp(keys[0] ?? '', context.signal);
      if (found.kind === 'hit') return { ...found, cached: true };
    }
    if (work.narrowInputs) {
      const narrow = keyOf(await work.narrowInputs());
      keys.push(narrow);
      const found = ignoreCache ? undefined : await environment.steps.lookUp(narrow, context.signal);
      if (found?.kind === 'hit') {
        const known = { ...found, keys };
        await environment.steps.remember(known);
        return { ...known, cached: true };
      }
    }
    const shared = underway.get(keys[0] ?? '');
    if (shared) return { ...(await shared), cached: true };
    const doing = limiter.run(context.signal, async () => {
      const layer = await work.execute();
      const done: CachedStep = { layer, created: createdTime(environment), keys };
      await environment.steps.remember(done);
      return done;
    });
    underway.set(keys[0] ?? '', doing);
    return { ...(await doing), cached: false };
  };

  const reportStep = async (
    info: StepInfo,
    inner: AbortSignal,
    work: () => Promise<CachedStep & { cached: boolean }>,
  ) => {
    const { events, now } = environment;
    throwIfAborted(signal);
    const started = now();
    events({ kind: 'step-started', step: info });
    const finish = (outcome: 'done' | 'cached' | 'failed' | 'cancelled', error?: TsbuildError) =>
      events({ kind: 'step-finished', id: info.id, outcome, milliseconds: now() - started, ...(error && { error }) });
    try {
      const done = await work();
      finish(done.cached ? 'cached' : 'done');
      return done;
    } catch (error) {
      const located = locateFailure(error, info.source);
      // What fails after the others were told to stop, failed because of that.
      if (isTsbuildError(located) && !inner.aborted) finish('failed', located);
      else finish('cancelled');
      throw located;
    }
  };

  announce(plan, environment, prefix);
  await allOrNothing(
    signal,
    plan.stages.map((stage) => (inner) => {
      const result = solveStage(stage, inner);
      stages.set(stage.id, result);
      // Whoever waits for the stage sees its failure; nobody waiting is no unhandled rejection.
      result.catch(() => {});
      return result;
    }),
  );
  return results;
}

export function stepId(prefix: string, stage: PlannedStage, index: number): string {
  return `${prefix}${stage.id}.${index + 1}`;
}

function announce(plan: Plan, { events }: SolveEnvironment, prefix: string): void {
  const steps = plan.stages.flatMap((stage) =>
    stage.steps.map((step: Step, index) => ({
      id: stepId(prefix, stage, index),
      title: step.title,
      source: step.location,
    })),
  );
  events({ kind: 'plan', steps });
}

function workFor(context: StepContext, operation: Operation, ahead: RunAhead): Promise<StepWork> {
  switch (operation.kind) {
    case 'run':
      return runStep(context, operation, ahead);
    case 'copy':
      return copyStep(context, operation);
    case 'make-directory':
      return makeDirectoryStep(context, operation);
    default:
      return assertNever(operation);
  }
}

function sourcesOf(operation: Operation): readonly TreeSource[] {
  if (operation.kind === 'copy') return [operation.source];
  if (operation.kind !== 'run') return [];
  return operation.mounts.flatMap((mount) => (mount.kind === 'bind' || mount.kind === 'cache' ? [mount.source] : []));
}

/** Failures that are about the whole command, not about a step. */
const stopping: ReadonlySet<string> = new Set(['cancelled', 'interrupted']);

/** A failure that names no place happened at the step's instruction. */
function locateFailure(error: unknown, source: SourceLocation | undefined): unknown {
  if (!isTsbuildError(error) || error.source || !source || stopping.has(error.code)) return error;
  const { code, message, hint, log, cause } = error;
  return new TsbuildError({ code, message, log, source, cause, ...(hint !== undefined && { hint }) });
}

function createdTime({ request, now }: SolveEnvironment): string {
  const milliseconds = request.sourceDateEpoch === undefined ? now() : request.sourceDateEpoch * 1000;
  return rfc3339(milliseconds);
}
