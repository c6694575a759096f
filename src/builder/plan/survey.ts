/**
 * First look at a Dockerfile for one platform: what each FROM stands for, which stages the target needs, and which
 * images must be resolved before the steps can be planned. ONBUILD triggers of base images may add more: the caller
 * resolves what is missing and surveys again until nothing is.
 */
import { nearest, type Range } from '../../core/index.ts';
import { formatPlatform, type Platform, parsePlatform } from '../../image/index.ts';
import {
  expandWord,
  type FromInstruction,
  type ParsedDockerfile,
  parseTrigger,
  type StageInstruction,
  type Word,
} from '../dockerfile/index.ts';
import type { NamedContext, ResolvedImage } from '../types.ts';
import { failAt } from './failure.ts';
import { type FoundContext, findNamedContext } from './named-contexts.ts';
import type { StageBase, TreeSource } from './types.ts';
import { expand, globalArguments, platformArguments } from './variables.ts';

export interface PlanOptions {
  readonly target?: string;
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly namedContexts: ReadonlyMap<string, NamedContext>;
  readonly labels: Readonly<Record<string, string>>;
  readonly buildPlatform: Platform;
  readonly targetPlatform: Platform;
  /** False when the user named no platform: the image keeps what its base says. */
  readonly platformRequested: boolean;
  readonly network: 'default' | 'none' | 'host';
  readonly noCache: boolean;
  readonly noCacheFilter: readonly string[];
  /** `BUILDKIT_CACHE_MOUNT_NS` and the like are read from the build arguments. */
  readonly sourceDateEpoch?: number;
}

export interface ImageNeed {
  readonly reference: string;
  readonly platform: Platform;
  /** Where it is named. */
  readonly range: Range;
  /** Variables in the name that have no value. */
  readonly unset: readonly string[];
}

/** Images that were resolved so far, by `imageKey`. */
export type ResolvedImages = ReadonlyMap<string, ResolvedImage>;

export function imageKey(reference: string, platform: Platform): string {
  return `${formatPlatform(platform)} ${reference}`;
}

export interface SurveyedStage {
  readonly id: number;
  /** Lower case; undefined without AS. */
  readonly name: string | undefined;
  readonly from: FromInstruction;
  readonly platform: Platform;
  readonly base: SurveyedBase;
  /** ONBUILD triggers of the base first. */
  readonly instructions: readonly StageInstruction[];
  readonly triggerCount: number;
}

export type SurveyedBase =
  | Exclude<StageBase, { kind: 'image' }>
  | { readonly kind: 'image'; readonly reference: string };

export interface Survey {
  readonly stages: readonly SurveyedStage[];
  readonly globals: ReadonlyMap<string, string>;
  /** Stage ids in the order they must be planned; the target is the last. */
  readonly order: readonly number[];
  /** Images whose configurations are needed and not there yet; empty: the survey is complete. */
  readonly missing: readonly ImageNeed[];
}

/** @throws TsbuildError with the Dockerfile line for everything that is wrong with FROM, --from and the target */
export function surveyStages(parsed: ParsedDockerfile, options: PlanOptions, images: ResolvedImages): Survey {
  const targetIndex = findTarget(parsed, options.target);
  const targetName = options.target ?? parsed.stages[targetIndex]?.from.name ?? '';
  const platformValues = platformArguments(
    options.buildPlatform,
    options.targetPlatform,
    targetName,
    options.buildArgs,
  );
  const globals = globalArguments(parsed, platformValues, options.buildArgs);

  const stages: SurveyedStage[] = [];
  for (const [id, { from, instructions }] of parsed.stages.entries()) {
    const reference = expand(parsed, from.image, (name) => globals.get(name));
    const platform = from.platform
      ? stagePlatform(
          parsed,
          from,
          expand(parsed, from.platform, (name) => globals.get(name)),
          globals,
          options,
        )
      : options.targetPlatform;
    // BuildKit lets an unreachable stage have an empty base; the error waits until it is needed.
    const replaced = from.name ? findNamedContext(options.namedContexts, from.name, platform) : undefined;
    const base = replaced ? contextBase(replaced) : baseOf(reference, stages, platform, options);
    const inherited = base.kind === 'stage' && !from.platform ? stages[base.stage]?.platform : undefined;
    const triggers = replaced ? [] : triggersOf(parsed, from, base, platform, images, stages);
    stages.push({
      id,
      name: from.name,
      from,
      platform: inherited ?? platform,
      base,
      // A context given under the name of a stage stands in for all of it.
      instructions: replaced ? [] : [...triggers, ...instructions],
      triggerCount: triggers.length,
    });
  }

  const order: number[] = [];
  const missing = new Map<string, ImageNeed>();
  const open = new Set<number>();
  const need = (reference: string, platform: Platform, range: Range, unset: readonly string[] = []): void => {
    const key = imageKey(reference, platform);
    if (!images.has(key)) missing.set(key, { reference, platform, range, unset });
  };
  const visit = (id: number): void => {
    const stage = stages[id];
    if (!stage || open.has(id)) return;
    open.add(id);
    if (stage.base.kind === 'stage') visit(stage.base.stage);
    if (stage.base.kind === 'image') {
      const unset = unsetVariables(parsed, stage.from.image, globals);
      if (stage.base.reference === '') throw emptyBase(parsed, stage.from, unset, globals);
      need(stage.base.reference, stage.platform, stage.from.image.range, unset);
    }
    for (const instruction of stage.instructions) {
      for (const { name, range } of sourceNames(instruction)) {
        const source = findSource(parsed, stages, id, name, instruction, stage.platform, options);
        if (source.kind === 'stage') visit(source.stage);
        if (source.kind === 'image') need(source.reference, stage.platform, range);
      }
    }
    order.push(id);
  };
  visit(targetIndex);
  return { stages, globals, order, missing: [...missing.values()] };
}

type FoundSource = Exclude<TreeSource, { kind: 'image' }> | { readonly kind: 'image'; readonly reference: string };

/** What `--from=name` or `from=name` means in a stage: a named context, an earlier stage by name or index, else an image. */
export function findSource(
  parsed: ParsedDockerfile,
  stages: readonly SurveyedStage[],
  current: number,
  name: string,
  instruction: StageInstruction,
  platform: Platform,
  options: PlanOptions,
): FoundSource {
  const lower = name.toLowerCase();
  if (/^\d+$/.test(name)) {
    const index = Number(name);
    if (index >= current) {
      throw failAt(parsed, instruction.range, {
        code: 'plan-stage-not-found',
        message: `there is no stage ${index} before this one`,
        hint:
          current === 0
            ? 'This is the first stage; name an image instead.'
            : `Use an index from 0 to ${current - 1}, or a stage's name.`,
      });
    }
    return { kind: 'stage', stage: index };
  }
  const earlier = stages.findLastIndex((stage) => stage.name === lower && stage.id < current);
  if (earlier < 0) refuseLaterStage(parsed, stages, current, name, instruction);
  const found = findNamedContext(options.namedContexts, name, platform);
  if (found) {
    if (found.context.kind !== 'image') return { kind: 'named-context', name: found.name };
    const { reference } = found.context;
    return isScratch(reference) ? { kind: 'empty' } : { kind: 'image', reference };
  }
  if (earlier >= 0) return { kind: 'stage', stage: earlier };
  if (lower === 'scratch') return { kind: 'empty' };
  return { kind: 'image', reference: name };
}

function refuseLaterStage(
  parsed: ParsedDockerfile,
  stages: readonly SurveyedStage[],
  current: number,
  name: string,
  instruction: StageInstruction,
): void {
  const later = stages.find((stage) => stage.name === name.toLowerCase());
  if (later?.id === current) {
    throw failAt(parsed, instruction.range, {
      code: 'plan-stage-cycle',
      message: `stage ${JSON.stringify(name)} cannot read from itself`,
      hint: 'Read from an earlier stage, or leave --from out to read from the build context.',
    });
  }
  if (later) {
    throw failAt(parsed, instruction.range, {
      code: 'plan-stage-order',
      message: `stage ${JSON.stringify(name)} is defined after this one`,
      hint: `Move the stage ${name} above this stage.`,
    });
  }
}

/** The `from` names an instruction reads from. */
function sourceNames(instruction: StageInstruction): { readonly name: string; readonly range: Range }[] {
  if (instruction.kind === 'copy' || instruction.kind === 'add') {
    return instruction.from ? [{ name: instruction.from.raw, range: instruction.from.range }] : [];
  }
  if (instruction.kind !== 'run') return [];
  return instruction.mounts.flatMap(({ fields, range }) => {
    const from = fields.find((field) => field.key === 'from')?.value;
    return from === undefined || from === '' ? [] : [{ name: from, range }];
  });
}

function unsetVariables(parsed: ParsedDockerfile, word: Word, globals: ReadonlyMap<string, string>): readonly string[] {
  const options = { escape: parsed.directives.escape, lookup: (name: string) => globals.get(name) };
  return [...expandWord(word.raw, options).unset];
}

/** What to do about a variable of FROM that has no value. */
export function unsetHint(unset: readonly string[], known: Iterable<string>): string | undefined {
  const [name] = unset;
  if (name === undefined) return undefined;
  const near = nearest(name, known);
  if (near !== undefined) return `${name} has no value: did you mean ${near}?`;
  return `${name} has no value: declare it with ARG ${name}=… before the first FROM, or add --build-arg ${name}=….`;
}

function contextBase({ name, context }: FoundContext): SurveyedBase {
  if (context.kind !== 'image') return { kind: 'context', name };
  return isScratch(context.reference) ? { kind: 'scratch' } : { kind: 'image', reference: context.reference };
}

/** The one image that is none. */
function isScratch(reference: string): boolean {
  return reference === 'docker-image://scratch';
}

function baseOf(
  reference: string,
  earlier: readonly SurveyedStage[],
  platform: Platform,
  options: PlanOptions,
): SurveyedBase {
  const lower = reference.toLowerCase();
  const found = findNamedContext(options.namedContexts, reference, platform);
  if (found) return contextBase(found);
  // The last stage of a name wins, as in BuildKit.
  const stage = earlier.findLastIndex((candidate) => candidate.name === lower);
  if (stage >= 0) return { kind: 'stage', stage };
  if (reference === 'scratch') return { kind: 'scratch' };
  return { kind: 'image', reference };
}

function findTarget(parsed: ParsedDockerfile, target: string | undefined): number {
  const last = parsed.stages.length - 1;
  if (target === undefined || target === '') return last;
  const byName = parsed.stages.findLastIndex((stage) => stage.from.name === target.toLowerCase());
  if (byName >= 0) return byName;
  const names = parsed.stages.flatMap((stage) => stage.from.name ?? []);
  const near = nearest(target, names);
  throw failAt(
    parsed,
    parsed.stages[last]?.from.range ?? { start: { line: 1, column: 1 }, end: { line: 1, column: 1 } },
    {
      code: 'plan-target-not-found',
      message: `there is no stage ${JSON.stringify(target)}`,
      hint: near
        ? `Did you mean --target ${near}?`
        : names.length > 0
          ? `The stages are ${names.join(', ')}.`
          : 'No stage has a name; give one with FROM … AS name.',
    },
  );
}

function stagePlatform(
  parsed: ParsedDockerfile,
  from: FromInstruction,
  text: string,
  globals: ReadonlyMap<string, string>,
  options: PlanOptions,
): Platform {
  if (text === '') {
    throw failAt(parsed, from.platform?.range ?? from.range, {
      code: 'platform-invalid',
      message: `--platform=${from.platform?.raw} is empty after its variables were put in`,
      hint:
        (from.platform && unsetHint(unsetVariables(parsed, from.platform, globals), globals.keys())) ??
        'Give its variable a value: with ARG before the first FROM, or with --build-arg.',
    });
  }
  try {
    return parsePlatform(text, options.targetPlatform);
  } catch (cause) {
    throw failAt(parsed, from.platform?.range ?? from.range, {
      code: 'platform-invalid',
      message: `${JSON.stringify(text)} is not a platform`,
      hint: cause instanceof Error && 'hint' in cause ? String(cause.hint) : 'Write os/arch, e.g. linux/amd64.',
    });
  }
}

function triggersOf(
  parsed: ParsedDockerfile,
  from: FromInstruction,
  base: SurveyedBase,
  platform: Platform,
  images: ResolvedImages,
  earlier: readonly SurveyedStage[],
): StageInstruction[] {
  return triggerTexts(base, platform, images, earlier).map((text) => {
    const { instruction, diagnostics } = parseTrigger(text, from.range);
    const mistake = diagnostics.find((diagnostic) => diagnostic.severity === 'error');
    if (mistake || !instruction) {
      throw failAt(parsed, from.range, {
        code: 'plan-trigger-invalid',
        message: `the ONBUILD trigger ${JSON.stringify(text)} of ${from.image.raw} cannot be run: ${mistake?.message ?? 'it is no instruction'}`,
        hint: 'The base image was built with a mistake in it; build on another one.',
      });
    }
    return instruction;
  });
}

function triggerTexts(
  base: SurveyedBase,
  platform: Platform,
  images: ResolvedImages,
  earlier: readonly SurveyedStage[],
): readonly string[] {
  if (base.kind === 'image') return images.get(imageKey(base.reference, platform))?.config.config.OnBuild ?? [];
  if (base.kind !== 'stage') return [];
  const instructions = earlier[base.stage]?.instructions ?? [];
  return instructions.flatMap((instruction) => (instruction.kind === 'onbuild' ? [instruction.trigger] : []));
}

function emptyBase(
  parsed: ParsedDockerfile,
  from: FromInstruction,
  unset: readonly string[],
  globals: ReadonlyMap<string, string>,
) {
  return failAt(parsed, from.image.range, {
    code: 'plan-base-empty',
    message: `the base name ${from.image.raw} is empty after its variables were put in`,
    hint:
      unsetHint(unset, globals.keys()) ?? 'Give its ARG a default before the first FROM, or set it with --build-arg.',
  });
}
