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
import { VariableList } from './variable-list.ts';
import { expand, variablesIn } from './variables.ts';

/** What a stage inherits when another is built FROM it. */
export interface InheritedState {
  readonly image: ImageConfig;
  readonly env: readonly string[];
  /** ARGs by name with the values they were given. */
  readonly args: ReadonlyMap<string, string | undefined>;
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
  readonly source: (name: string, instruction: StageInstruction) => TreeSource;
}

export class StageState {
  readonly setting: StageSetting;
  readonly steps: Step[] = [];
  readonly history: PlannedHistory[] = [];
  readonly ownArgs: PlannedArgument[] = [];
  /** Without what ENV and LABEL set: `finished` has that. */
  image: ImageConfig;
  /** CMD was set in this stage (not inherited). */
  commandSet = false;
  readonly #variables: Map<string, string>;
  /** ENV and ARG together. */
  readonly #environment: VariableList;
  /** ENV alone: the image's. */
  readonly #imageEnvironment: VariableList;
  readonly #labels: Map<string, string>;
  readonly #args: Map<string, string | undefined>;
  #argsText: string | undefined;
  #workdir: { readonly written: string; readonly path: string } | undefined;

  constructor(setting: StageSetting, inherited: InheritedState) {
    this.setting = setting;
    this.image = inherited.image;
    this.#variables = variablesIn(inherited.env);
    this.#environment = new VariableList(Array.from(this.#variables, ([name, value]) => `${name}=${value}`));
    this.#imageEnvironment = new VariableList(this.config.Env ?? []);
    this.#labels = new Map(Object.entries(this.config.Labels ?? {}));
    this.#args = new Map(inherited.args);
  }

  /** The image with its variables and labels; to be asked for once, when all instructions are done. */
  get finished(): ImageConfig {
    const labels = this.#labels.size > 0 && { Labels: Object.fromEntries(this.#labels) };
    return { ...this.image, config: { ...this.config, Env: this.#imageEnvironment.list, ...labels } };
  }

  /** Env and Labels are those of the base: see `finished`. */
  get config(): RuntimeConfig {
    return this.image.config;
  }

  /** Absolute and plain; '/' when none was set. */
  get workdir(): string {
    const written = this.config.WorkingDir ?? '';
    if (this.#workdir?.written !== written) this.#workdir = { written, path: posix.resolve('/', written) };
    return this.#workdir.path;
  }

  configure(change: Partial<RuntimeConfig>): void {
    this.image = { ...this.image, config: { ...this.config, ...change } };
  }

  /** ENV and ARG together, what RUN sees: the same list until the next definition, for a stage may have thousands of steps. */
  get env(): readonly string[] {
    return this.#environment.list;
  }

  /** Sets a variable for expansion and RUN, not in the image. Words of one instruction are all expanded before. */
  define(name: string, value: string): void {
    this.#variables.set(name, value);
    this.#environment.set(name, value);
    this.#argsText = undefined;
  }

  /** Sets a variable in the image, too. */
  defineInImage(name: string, value: string): void {
    this.define(name, value);
    this.#imageEnvironment.set(name, value);
  }

  label(name: string, value: string): void {
    this.#labels.set(name, value);
  }

  get args(): ReadonlyMap<string, string | undefined> {
    return this.#args;
  }

  /** Declares an ARG; a name that is declared again keeps its place. */
  declare(name: string, value: string | undefined): void {
    this.#args.set(name, value);
    this.#argsText = undefined;
  }

  /** BuildKit's `|2 A=1 B=2 ` in front of a command: every ARG in force with the value RUN sees. */
  get argsText(): string {
    this.#argsText ??= argumentsText(this.#args, this.lookup);
    return this.#argsText;
  }

  /** The variables as they are now. */
  readonly lookup = (name: string): string | undefined => this.#variables.get(name);

  readonly expand = (word: Word): string => expand(this.setting.parsed, word, this.lookup);

  commit(createdBy: string): void {
    this.history.push({ createdBy });
  }

  /** Addresses in the instruction's text lose their credentials: history and titles are for everyone to read. */
  addStep(instruction: StageInstruction, operation: Operation, createdBy: string): void {
    const { label, stepsBefore, stepCount, parsed } = this.setting;
    const total = stepsBefore + stepCount;
    const number = String(stepsBefore + this.steps.length + 1).padStart(String(total).length);
    const prefix = [label, `${number}/${total}`].filter((part) => part !== '').join(' ');
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

function argumentsText(
  args: ReadonlyMap<string, string | undefined>,
  lookup: (name: string) => string | undefined,
): string {
  if (args.size === 0) return '';
  return `|${args.size} ${Array.from(args, ([name, value]) => `${name}=${lookup(name) ?? value ?? ''}`).join(' ')} `;
}
