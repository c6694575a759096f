/** The stages whose layers an image has: the target, and those it stands on. */
import type { PlannedStage } from './types.ts';

/** Lowest first. @param stages of a plan, the target last */
export function imageStages(stages: readonly PlannedStage[]): readonly PlannedStage[] {
  const found: PlannedStage[] = [];
  for (let stage = stages.at(-1); stage; ) {
    found.unshift(stage);
    const { base } = stage;
    stage = base.kind === 'stage' ? stages.find(({ id }) => id === base.stage) : undefined;
  }
  return found;
}
