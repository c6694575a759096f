/** Plans a Dockerfile the way a build does, with base images given instead of resolved. */
import { parseDockerfile } from '../../../src/builder/dockerfile/index.ts';
import {
  imageKey,
  type Plan,
  type PlanOptions,
  planBuild,
  type Step,
  surveyStages,
} from '../../../src/builder/plan/index.ts';
import type { ResolvedImage } from '../../../src/builder/types.ts';
import { digestOf, type RuntimeConfig, scratchConfig } from '../../../src/image/index.ts';

const amd64 = { os: 'linux', architecture: 'amd64' };

/** Of a build without flags. */
export const plainOptions: PlanOptions = {
  buildArgs: {},
  namedContexts: new Map(),
  labels: {},
  buildPlatform: amd64,
  targetPlatform: amd64,
  platformRequested: false,
  network: 'default',
  noCache: false,
  noCacheFilter: [],
};

export interface PlanSetting extends Partial<PlanOptions> {
  /** Configurations of images by reference; others are empty. */
  readonly images?: Readonly<Record<string, RuntimeConfig>>;
}

export function planOf(text: string, setting: PlanSetting = {}): Plan {
  const parsed = parseDockerfile(text, 'Dockerfile');
  const mistake = parsed.diagnostics.find(({ severity }) => severity === 'error');
  if (mistake) throw new Error(`${mistake.range.start.line}: ${mistake.message}`);
  const { images: configs = {}, ...given } = setting;
  const options: PlanOptions = { ...plainOptions, ...given };
  const images = new Map<string, ResolvedImage>();
  let survey = surveyStages(parsed, options, images);
  while (survey.missing.length > 0) {
    for (const { reference, platform } of survey.missing) {
      images.set(imageKey(reference, platform), {
        reference,
        digest: digestOf(reference),
        platform,
        config: { ...scratchConfig(platform), config: configs[reference] ?? {} },
        layers: [],
      });
    }
    survey = surveyStages(parsed, options, images);
  }
  return planBuild(parsed, options, survey, images);
}

export function targetOf(plan: Plan) {
  const target = plan.stages.at(-1);
  if (!target) throw new Error('an empty plan');
  return target;
}

export function stepsOf(plan: Plan): readonly Step[] {
  return targetOf(plan).steps;
}

/** The first RUN's command line as one string, and its variables. */
export function firstRun(plan: Plan) {
  for (const { operation } of stepsOf(plan)) if (operation.kind === 'run') return operation;
  throw new Error('no RUN in the plan');
}
