/**
 * What one stage has become while its instructions are planned, top to bottom: environment, configuration, history and
 * steps. The only mutable thing of the planner; it does not outlive `planStage`.
 */
import { type Range, redactText } from '../../core/index.ts';
import type { ImageConfig, Platform, RuntimeConfig } from '../../image/index.ts';
import type { ParsedDockerfile, StageInstruction, Word } from '../dockerfile/index.ts';
import { failAt, locate, type Mistake } from './failure.ts';
import type { PlanOptions } from './survey.ts';
import type { Operation, PlannedHistory, Step, TreeSource } from './types.ts';
import { expand, lookupIn, setVariable } from './variables.ts';

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
  /** ENV and ARG together, what expansion and RUN see. */
  env: readonly string[];
  args: readonly BuildArgument[];
  image: ImageConfig;
  /** CMD was set in this stage (not inherited). */
  commandSet = false;

  constructor(setting: StageSetting, inherited: InheritedState) {
    this.setting = setting;
    this.image = inherited.image;
    this.env = inherited.env;
    this.args = inherited.args;
  }

  get config(): RuntimeConfig {
    return this.image.config;
  }

  /** Absolute; '/' when none was set. */
  get workdir(): string {
    return this.config.WorkingDir || '/';
  }

  configure(change: Partial<RuntimeConfig>): void {
    this.image = { ...this.image, config: { ...this.config, ...change } };
  }

  /** Sets a variable for expansion and RUN, not in the image. */
  define(name: string, value: string): void {
    this.env = setVariable(this.env, name, value);
  }

  /** Words of one instruction all see the variables as they were before it. */
  expander(): (word: Word) => string {
    const lookup = lookupIn(this.env);
    return (word) => expand(this.setting.parsed, word, lookup);
  }

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
