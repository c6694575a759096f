/**
 * A plan in words and plain data, for people and programs that ask what would be built: every tree and step has a name,
 * every dependency is one. Digests that only running can tell (of contexts, of what lies beneath) are named, not made.
 */
import { assertNever, redactText } from '../../core/index.ts';
import { formatPlatform } from '../../image/index.ts';
import type { Operation, Plan, PlannedMount, PlannedStage, StageBase, Step, TreeSource } from './types.ts';

export interface PlanDescription {
  readonly platform: string;
  /** Dependencies first; the target is the last. */
  readonly stages: readonly StageDescription[];
}

export interface StageDescription {
  /** As written, or `stage-2`. */
  readonly name: string;
  /** Position of its FROM in the Dockerfile. */
  readonly index: number;
  readonly target: boolean;
  readonly platform: string;
  /** `scratch`, `stage build`, `context name`, `image reference@digest`. */
  readonly base: string;
  /** Names of the stages it reads from. */
  readonly dependsOn: readonly string[];
  readonly ignoreCache: boolean;
  readonly steps: readonly StepDescription[];
}

export interface StepDescription {
  /** `build/2`: the second step of the stage `build`. */
  readonly name: string;
  readonly title: string;
  readonly line: number;
  /** What must be there first: `build/1`, `base`, `stage build`, `context`, `image reference@digest`. */
  readonly dependsOn: readonly string[];
  readonly key: KeyDescription;
}

/** What the step's key is the sha256 of; members that say nothing (empty, default) are left out of the operation. */
export interface KeyDescription {
  readonly operation: Readonly<Record<string, unknown>>;
  /** The step or base whose chain ID is part of the key; null: it does not depend on what lies beneath. */
  readonly below: string | null;
  /** Trees whose content is part of the key. */
  readonly inputs: readonly string[];
  readonly platform: string;
}

export function describePlan({ platform, stages }: Plan): PlanDescription {
  const names = new Map(stages.map((stage) => [stage.id, nameOf(stage)]));
  return {
    platform: formatPlatform(platform),
    stages: stages.map((stage) => describeStage(stage, names, stage === stages.at(-1))),
  };
}

type Names = ReadonlyMap<number, string>;

function nameOf({ label, id }: PlannedStage): string {
  return label === '' ? `stage-${id}` : label;
}

function describeStage(stage: PlannedStage, names: Names, target: boolean): StageDescription {
  const steps = stage.steps.map((step, index) => describeStep(step, index, stage, names));
  const base = describeBase(stage.base, names);
  const all = [base, ...steps.flatMap((step) => step.key.inputs)];
  return {
    name: nameOf(stage),
    index: stage.id,
    target,
    platform: formatPlatform(stage.platform),
    base,
    dependsOn: [...new Set(all.flatMap((name) => (name.startsWith('stage ') ? [name.slice('stage '.length)] : [])))],
    ignoreCache: stage.ignoreCache,
    steps,
  };
}

function describeStep(step: Step, index: number, stage: PlannedStage, names: Names): StepDescription {
  const { operation, title, location } = step;
  const below = operation.kind === 'copy' && operation.link ? null : index === 0 ? 'base' : `${nameOf(stage)}/${index}`;
  const inputs = [...new Set(sourcesOf(operation).map((source) => describeSource(source, names)))];
  return {
    name: `${nameOf(stage)}/${index + 1}`,
    title,
    line: location.range.start.line,
    dependsOn: [...(below === null ? [] : [below]), ...inputs],
    key: { operation: describeOperation(operation), below, inputs, platform: formatPlatform(stage.platform) },
  };
}

function sourcesOf(operation: Operation): TreeSource[] {
  switch (operation.kind) {
    case 'run':
      return operation.mounts.flatMap((mount) =>
        mount.kind === 'bind' || (mount.kind === 'cache' && mount.source.kind !== 'empty') ? [mount.source] : [],
      );
    case 'copy':
      // Heredocs and addresses read no tree.
      return operation.patterns.length > 0 ? [operation.source] : [];
    case 'make-directory':
      return [];
    default:
      return assertNever(operation);
  }
}

function describeBase(base: StageBase, names: Names): string {
  switch (base.kind) {
    case 'scratch':
      return 'scratch';
    case 'context':
      return `context ${base.name}`;
    default:
      return describeSource(base, names);
  }
}

function describeSource(source: TreeSource, names: Names): string {
  switch (source.kind) {
    case 'context':
      return 'context';
    case 'named-context':
      return `context ${source.name}`;
    case 'stage':
      return `stage ${names.get(source.stage) ?? source.stage}`;
    case 'image':
      return `image ${source.image.reference}@${source.image.digest}`;
    case 'empty':
      return 'scratch';
    default:
      return assertNever(source);
  }
}

function describeOperation(operation: Operation): Record<string, unknown> {
  switch (operation.kind) {
    case 'run': {
      const { mounts, ...rest } = operation;
      return telling({ ...rest, mounts: mounts.map(describeMount) });
    }
    case 'copy': {
      const { source: _, patterns, ...rest } = operation;
      return telling({ ...rest, sources: patterns.map(({ text }) => redactText(text)) });
    }
    default:
      return telling({ ...operation });
  }
}

/** The source of a mount stands among the inputs. */
function describeMount(mount: PlannedMount): Record<string, unknown> {
  const { source: _, ...rest } = { source: undefined, ...mount };
  return telling(rest);
}

function telling(members: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const silent = (value: unknown) =>
    value === undefined || value === '' || value === false || (Array.isArray(value) && value.length === 0);
  return Object.fromEntries(Object.entries(members).filter(([, value]) => !silent(value)));
}
