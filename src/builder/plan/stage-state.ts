/**
 * What one stage has become while its instructions are planned, top to bottom: environment, configuration, history and
 * steps. The only mutable thing of the planner; it does not outlive `planStage`.
 */
import posix from 'node:path/posix';
import { type Range, redactText } from '../../core/index.ts';
import type { ImageConfig, Platform, RuntimeConfig } from '../../image/index.ts';
import type { ParsedDockerfile, StageInstruction, Word } from '../dockerfile/index.ts';
import { failAt, locate, type Mistake } from './failure.ts';
import type { PlanOptions } from './survey.ts';
import type { Operation, PlannedArgument, PlannedHistory, Step, TreeSource } from './types.ts';
import { expand, variablesIn } from './variables.ts';

export interface BuildArgument {
  readonly name: string;
  readonly value: string | undefined;
}

/** What a stage inherits when another is built FROM it. */
export interface InheritedState {
  readonly image: ImageConfig;
  readonly env: readonly string[];
  readonly args: readonly BuildArgument[];
}

export interface StageSetting {
  readonly parsed: ParsedDockerfile;
  readonly options: PlanOptions;
  readonly globals: ReadonlyMap<string, string>;
  readonly platform: Platform;
  /** `[build 2/5] `, counted up by the state. */
  readonly label: string;
  readonly stepsBefore: number;
  readonly stepCount: number;
  readonly titlePlatform: string;
  readonly source: (name: string, instruction: StageInstruction) => TreeSource;
}

export class StageState {
  readonly setting: StageSetting;
  readonly steps: Step[] = [];
  readonly history: PlannedHistory[] = [];
  args: readonly BuildArgument[];
  readonly ownArgs: PlannedArgument[] = [];
  image: ImageConfig;
  /** CMD was set in this stage (not inherited). */
  commandSet = false;
  /** ENV and ARG together, in the order of their first definition. */
  readonly #variables: Map<string, string>;
  #env: readonly string[] | undefined;

  constructor(setting: StageSetting, inherited: InheritedState) {
    this.setting = setting;
    this.image = inherited.image;
    this.#variables = variablesIn(inherited.env);
    this.args = inherited.args;
  }

  get config(): RuntimeConfig {
    return this.image.config;
  }

  /** Absolute and plain; '/' when none was set. */
  get workdir(): string {
    return posix.resolve('/', this.config.WorkingDir ?? '');
  }

  configure(change: Partial<RuntimeConfig>): void {
    this.image = { ...this.image, config: { ...this.config, ...change } };
  }

  /** ENV and ARG together, what RUN sees: the same list until the next definition, for a stage may have thousands of steps. */
  get env(): readonly string[] {
    this.#env ??= Array.from(this.#variables, ([name, value]) => `${name}=${value}`);
    return this.#env;
  }

  /** Sets a variable for expansion and RUN, not in the image. Words of one instruction are all expanded before. */
  define(name: string, value: string): void {
    this.#variables.set(name, value);
    this.#env = undefined;
  }

  /** The variables as they are now. */
  readonly lookup = (name: string): string | undefined => this.#variables.get(name);

  readonly expand = (word: Word): string => expand(this.setting.parsed, word, this.lookup);

  commit(createdBy: string): void {
    this.history.push({ createdBy });
  }

  /** Addresses in the instruction's text lose their credentials: history and titles are for everyone to read. */
  addStep(instruction: StageInstruction, operation: Operation, createdBy: string): void {
    const { label, stepsBefore, stepCount, titlePlatform, parsed } = this.setting;
    const total = stepsBefore + stepCount;
    const number = String(stepsBefore + this.steps.length + 1).padStart(String(total).length);
    const prefix = [titlePlatform, label, `${number}/${total}`].filter((part) => part !== '').join(' ');
    this.history.push({ createdBy: redactText(createdBy), step: this.steps.length });
    this.steps.push({
      title: `[${prefix}] ${redactText(titleOf(instruction.original))}`,
      location: locate(parsed, instruction.range),
      operation,
    });
  }

  fail(range: Range, mistake: Mistake) {
    return failAt(this.setting.parsed, range, mistake);
  }
}

/** One line, however the instruction was wrapped and indented. */
function titleOf(original: string): string {
  return original.replace(/^\S+/, (keyword) => keyword.toUpperCase()).replace(/\s+/g, ' ');
}
