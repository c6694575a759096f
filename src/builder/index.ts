export * from './build.ts';
export { type PublishOptions, publishImage } from './export/index.ts';
export {
  describedAs,
  describePlan,
  type Outline,
  type PlanDescription,
  type StepDescription,
} from './plan/index.ts';
export { probeMemory } from './probe-memory.ts';
export {
  type PreparedRun,
  prepareRun,
  type RunPorts,
  type RunRequest,
  type Volume,
} from './run-image.ts';
export * from './types.ts';
