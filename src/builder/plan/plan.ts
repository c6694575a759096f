/**
 * From a complete survey to the build graph of one platform. Pure: base images come resolved, everything else is text.
 */
import type { ErrorCode } from '../../core/index.ts';
import { type ImageConfig, normalizePlatform, type Platform, scratchConfig } from '../../image/index.ts';
import type { ParsedDockerfile, StageInstruction } from '../dockerfile/index.ts';
import type { ResolvedImage } from '../types.ts';
import { dispatch } from './dispatch.ts';
import { failAt } from './failure.ts';
import { type InheritedState, StageState } from './stage-state.ts';
import {
  findSource,
  imageKey,
  type PlanOptions,
  type ResolvedImages,
  type Survey,
  type SurveyedStage,
} from './survey.ts';
import type { Plan, PlannedStage, StageBase, TreeSource } from './types.ts';
import { defaultPath, variableName } from './variables.ts';

/**
 * @param survey complete: nothing missing in `images`
 * @throws TsbuildError with the Dockerfile line for the first mistake in a reachable stage
 */
export function planBuild(
  parsed: ParsedDockerfile,
  options: PlanOptions,
  survey: Survey,
  images: ResolvedImages,
): Plan {
  const planned = new Map<number, { stage: PlannedStage; inherited: InheritedState }>();
  for (const id of survey.order) {
    const surveyed = survey.stages[id];
    if (!surveyed) continue;
    const base = stageBase(surveyed, images);
    const parent = base.kind === 'stage' ? planned.get(base.stage)?.inherited : undefined;
    const state = new StageState(
      {
        parsed,
        options,
        globals: survey.globals,
        platform: surveyed.platform,
        label: stageLabel(surveyed, survey),
        // BuildKit counts FROM where it brings an image.
        stepsBefore: base.kind === 'image' || base.kind === 'context' ? 1 : 0,
        stepCount: surveyed.instructions.filter(makesStep).length,
        source: (name, instruction) => treeSource(parsed, options, survey, surveyed, name, instruction, images),
      },
      parent ?? inheritFromBase(base, surveyed.platform),
    );
    for (const instruction of surveyed.instructions) {
      refuseMistakes(parsed, instruction);
      dispatch(state, instruction);
    }
    planned.set(id, {
      stage: {
        id,
        label: stageLabel(surveyed, survey),
        platform: surveyed.platform,
        base,
        steps: state.steps,
        config: finishConfig(state.finished, options, surveyed),
        history: state.history,
        ignoreCache: options.noCache || isFiltered(surveyed, options),
        args: state.ownArgs,
      },
      inherited: inherit(state),
    });
  }
  const stages = [...planned.values()].map(({ stage }) => stage);
  const target = stages.at(-1);
  if (!target) {
    throw failAt(
      parsed,
      { start: { line: 1, column: 1 }, end: { line: 1, column: 1 } },
      { code: 'plan-empty', message: 'the Dockerfile has no stage to build', hint: 'Begin it with FROM.' },
    );
  }
  const labelled = { ...target, config: withLabels(target.config, options) };
  return { platform: target.platform, stages: [...stages.slice(0, -1), labelled] };
}

/** Mistakes that count only where they are built. */
function refuseMistakes(parsed: ParsedDockerfile, { range }: StageInstruction): void {
  const mistake = parsed.diagnostics.find(
    (one) => one.whenBuilt && one.range.start.line >= range.start.line && one.range.start.line <= range.end.line,
  );
  if (!mistake) return;
  const { code, message, hint } = mistake;
  throw failAt(parsed, mistake.range, { code: code as ErrorCode, message, ...(hint !== undefined && { hint }) });
}

function stageBase(surveyed: SurveyedStage, images: ResolvedImages): StageBase {
  if (surveyed.base.kind !== 'image') return surveyed.base;
  return { kind: 'image', image: requireImage(images, surveyed.base.reference, surveyed.platform) };
}

function treeSource(
  parsed: ParsedDockerfile,
  options: PlanOptions,
  survey: Survey,
  stage: SurveyedStage,
  name: string,
  instruction: StageInstruction,
  images: ResolvedImages,
): TreeSource {
  const found = findSource(parsed, survey.stages, stage.id, name, instruction, stage.platform, options);
  return found.kind === 'image'
    ? { kind: 'image', image: requireImage(images, found.reference, stage.platform) }
    : found;
}

function requireImage(images: ResolvedImages, reference: string, platform: Platform): ResolvedImage {
  const image = images.get(imageKey(reference, platform));
  if (!image) throw new Error(`planned before ${reference} was resolved`);
  return image;
}

function inheritFromBase(base: StageBase, platform: Platform): InheritedState {
  const image = base.kind === 'image' ? base.image.config : { ...scratchConfig(platform), config: { WorkingDir: '/' } };
  // ONBUILD triggers have run; they are not inherited further.
  const { OnBuild: _, ...config } = image.config;
  const env = config.Env ?? [];
  const withPath = env.some((entry) => variableName(entry) === 'PATH') ? env : [...env, `PATH=${defaultPath}`];
  return { image: { ...image, config: { ...config, Env: withPath } }, env: withPath, args: new Map() };
}

/** What FROM a stage takes over: everything but its ONBUILD triggers. */
function inherit(state: StageState): InheritedState {
  const { finished } = state;
  const { OnBuild: _, ...config } = finished.config;
  return { image: { ...finished, config }, env: state.env, args: state.args };
}

function finishConfig(image: ImageConfig, options: PlanOptions, stage: SurveyedStage): ImageConfig {
  const { created: _, ...rest } = image;
  if (!options.platformRequested && stage.base.kind === 'image') return { ...rest, ...normalizePlatform(rest) };
  const { variant: _variant, ...plain } = rest;
  return { ...plain, ...normalizePlatform(options.targetPlatform) };
}

function withLabels(config: ImageConfig, options: PlanOptions): ImageConfig {
  if (Object.keys(options.labels).length === 0) return config;
  return { ...config, config: { ...config.config, Labels: { ...config.config.Labels, ...options.labels } } };
}

function stageLabel(stage: SurveyedStage, survey: Survey): string {
  return stage.from.nameWord?.raw ?? (survey.stages.length > 1 ? `stage-${stage.id}` : '');
}

function isFiltered(stage: SurveyedStage, options: PlanOptions): boolean {
  return options.noCacheFilter.some((name) => name.toLowerCase() === stage.name);
}

function makesStep(instruction: StageInstruction): boolean {
  return ['run', 'copy', 'add', 'workdir'].includes(instruction.kind);
}
