export * from './build.ts';
export { type PublishOptions, publishImage } from './export/index.ts';
export {
  describedAs,
  describePlan,
  type Outline,
  type PlanDescription,
  type StepDescription,
} from './plan/index.ts';
export * from './types.ts';
