/**
 * What the target of a build can be given: arguments, secrets, SSH agents. Of reachable stages only, as BuildKit's
 * `outline` request answers; the target's own come first where two stages have the same.
 */
import type { Range } from '../../core/index.ts';
import { expandWord, type Instruction, type ParsedDockerfile, type Word } from '../dockerfile/index.ts';
import type { PlanOptions } from './survey.ts';
import type { Plan, PlannedStage } from './types.ts';
import { globalArguments, platformArguments } from './variables.ts';

export interface OutlineArgument {
  readonly name: string;
  readonly value?: string;
  /** `# NAME what it is for`, above the instruction. */
  readonly description?: string;
  readonly range: Range;
}

export interface OutlineMount {
  readonly id: string;
  readonly required: boolean;
  readonly range: Range;
}

export interface Outline {
  /** Lower case, as BuildKit has it; undefined when the target has none. */
  readonly name?: string;
  readonly description?: string;
  readonly args: readonly OutlineArgument[];
  readonly secrets: readonly OutlineMount[];
  readonly ssh: readonly OutlineMount[];
}

/** @param plan of the target that is asked about */
export function outlineOf(parsed: ParsedDockerfile, plan: Plan, options: PlanOptions): Outline {
  const stages = [...plan.stages].reverse();
  const target = parsed.stages[stages[0]?.id ?? 0]?.from;
  const description = target && describedAs(target, target.nameWord?.raw ?? '');
  return {
    ...(target?.name !== undefined && { name: target.name }),
    ...(description !== undefined && { description }),
    args: argumentsOf(parsed, stages, options),
    secrets: mountsOf(stages, 'secret'),
    ssh: mountsOf(stages, 'ssh'),
  };
}

function argumentsOf(
  parsed: ParsedDockerfile,
  stages: readonly PlannedStage[],
  options: PlanOptions,
): OutlineArgument[] {
  const found = new Map<string, OutlineArgument>();
  const globals = globalsOf(parsed, options);
  const addGlobal = (name: string): void => {
    const argument = globals.get(name);
    if (!argument || found.has(name)) return;
    found.set(name, argument);
    for (const other of argument.uses) addGlobal(other);
  };
  for (const stage of stages) {
    const from = parsed.stages[stage.id]?.from;
    for (const word of [from?.image, from?.platform]) {
      if (word) for (const name of namesIn(parsed, word)) addGlobal(name);
    }
    for (const { name, value, own, range, description } of stage.args ?? []) {
      if (!own) addGlobal(name);
      else if (!found.has(name)) found.set(name, { name, range, ...optional({ value, description }) });
    }
  }
  return byLine([...found.values()]).map(({ name, value, description, range }) => ({
    name,
    range,
    ...optional({ value, description }),
  }));
}

interface GlobalArgument extends OutlineArgument {
  readonly uses: readonly string[];
}

function globalsOf(parsed: ParsedDockerfile, options: PlanOptions): Map<string, GlobalArgument> {
  const { buildPlatform, targetPlatform, buildArgs, target = '' } = options;
  const values = globalArguments(
    parsed,
    platformArguments(buildPlatform, targetPlatform, target, buildArgs),
    buildArgs,
  );
  return new Map(
    parsed.globalArgs.flatMap((instruction) =>
      instruction.args.map(({ name: { raw: name }, value }) => [
        name,
        {
          name,
          range: instruction.range,
          uses: value ? namesIn(parsed, value) : [],
          ...optional({ value: values.get(name), description: describedAs(instruction, name) }),
        },
      ]),
    ),
  );
}

/** The variables a word asks for. */
function namesIn(parsed: ParsedDockerfile, word: Word): string[] {
  return [...expandWord(word.raw, { escape: parsed.directives.escape, lookup: () => '' }).used];
}

function mountsOf(stages: readonly PlannedStage[], kind: 'secret' | 'ssh'): OutlineMount[] {
  const found = new Map<string, OutlineMount>();
  for (const { steps } of stages) {
    for (const { operation, location } of steps) {
      if (operation.kind !== 'run') continue;
      for (const mount of operation.mounts) {
        if (mount.kind !== kind || found.has(mount.id)) continue;
        found.set(mount.id, { id: mount.id, required: mount.required, range: location.range });
      }
    }
  }
  return byLine([...found.values()]);
}

/** The text of the comment line above an instruction that begins with the name of what it defines. */
export function describedAs({ comments = [] }: Instruction, name: string): string | undefined {
  if (name === '') return undefined;
  return comments.find((line) => line.startsWith(`${name} `))?.slice(name.length + 1);
}

function byLine<Item extends { readonly range: Range }>(items: readonly Item[]): Item[] {
  return items.toSorted((a, b) => a.range.start.line - b.range.start.line);
}

function optional<Values extends Record<string, string | undefined>>(
  values: Values,
): { [Name in keyof Values]?: string } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [Name in keyof Values]?: string;
  };
}
