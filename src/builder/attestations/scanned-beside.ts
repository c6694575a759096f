/**
 * What is scanned beside the result: the build context and other stages, where the build arguments
 * `BUILDKIT_SBOM_SCAN_CONTEXT` and `BUILDKIT_SBOM_SCAN_STAGE` say so (moby/buildkit `docs/attestations/sbom.md`).
 */
import { goBool, type ParsedDockerfile } from '../dockerfile/index.ts';
import { globalArguments, type Plan, type PlannedStage } from '../plan/index.ts';
import type { BuildRequest } from '../types.ts';

export interface ScannedBeside {
  readonly context: boolean;
  readonly stages: readonly { readonly id: number; readonly name: string }[];
}

export function scannedBeside(
  parsed: ParsedDockerfile,
  { stages }: Plan,
  { buildArgs }: Pick<BuildRequest, 'buildArgs'>,
): ScannedBeside {
  const globals = globalArguments(parsed, new Map(), buildArgs);
  const isOn = (stage: PlannedStage, name: string): boolean => {
    // Only what the Dockerfile declares counts; a stage has the arguments of the one it stands on.
    const declared = standsOn(stages, stage).flatMap(({ args = [] }) => args);
    const last = declared.findLast((one) => one.name === name && one.value !== undefined);
    return isEnabled(last?.value ?? globals.get(name) ?? '', nameOf(stage));
  };
  const target = stages.at(-1);
  const others = stages.filter((stage) => stage !== target && isOn(stage, 'BUILDKIT_SBOM_SCAN_STAGE'));
  return {
    context: target !== undefined && isOn(target, 'BUILDKIT_SBOM_SCAN_CONTEXT'),
    stages: others.map((stage) => ({ id: stage.id, name: nameOf(stage) })),
  };
}

/** A boolean, or the names of stages. */
function isEnabled(value: string, stage: string): boolean {
  return goBool(value) ?? value.split(',').includes(stage);
}

function nameOf({ label, id }: PlannedStage): string {
  return label === '' ? `stage-${id}` : label;
}

/** Lowest first. */
function standsOn(stages: readonly PlannedStage[], stage: PlannedStage): readonly PlannedStage[] {
  const { base } = stage;
  const below = base.kind === 'stage' ? stages.find(({ id }) => id === base.stage) : undefined;
  return below ? [...standsOn(stages, below), stage] : [stage];
}
