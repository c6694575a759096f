/**
 * The checks that follow the variables of a stage from top to bottom. They hold only for stages that are built.
 * What a base image brings is not known here unless told; PATH is taken to be there, everything else not.
 */
import { nearest, suggestion } from '../../../core/index.ts';
import { expandWord, expandWords } from '../expand/expand.ts';
import type { Instruction, ParsedDockerfile, ParsedStage, RunInstruction, StageInstruction, Word } from '../types.ts';
import { type GlobalArgs, globalArgsOf, longestValue } from './check-from.ts';
import type { Warnings } from './warnings.ts';

/** What a base image's configuration says. */
export interface BaseFacts {
  /** `NAME=value`. */
  readonly env: readonly string[];
  /** Its configuration has a SHELL. */
  readonly hasShell: boolean;
}

export interface StageCheckOptions {
  readonly buildArgs: Readonly<Record<string, string>>;
  /** Indices of the stages that are built; undefined: all. */
  readonly built?: ReadonlySet<number>;
  /** The base image of a stage; undefined: not known. */
  readonly base?: (stage: number) => BaseFacts | undefined;
}

/** What a stage is at one instruction. */
interface StageState {
  readonly env: Map<string, string>;
  readonly declared: Set<string>;
  hasShell: boolean;
  hasWorkdir: boolean;
}

interface Context {
  readonly parsed: ParsedDockerfile;
  readonly options: StageCheckOptions;
  readonly args: GlobalArgs;
  readonly warnings: Warnings;
}

/** With more variables than this the nearest is not looked for: it would be tried against each of them. */
const mostSuggestions = 500;

/** BuildKit sets these for its own scanners; they are no variables of the stage. */
const scannerArgs: ReadonlySet<string> = new Set(['BUILDKIT_SBOM_SCAN_CONTEXT', 'BUILDKIT_SBOM_SCAN_STAGE']);

export function checkStages(parsed: ParsedDockerfile, options: StageCheckOptions, warnings: Warnings): void {
  const args = globalArgsOf(parsed, options.buildArgs);
  const context: Context = { parsed, options, args, warnings };
  const finished = new Map<string, StageState>();
  for (const [index, stage] of parsed.stages.entries()) {
    const silent: Warnings = { found: [], add: () => {} };
    const isBuilt = options.built === undefined || options.built.has(index);
    const state = startOf(stage, index, context, finished);
    checkStage(stage, state, isBuilt ? context : { ...context, warnings: silent });
    if (stage.from.name !== undefined) finished.set(stage.from.name, state);
  }
}

function startOf(
  { from }: ParsedStage,
  index: number,
  { parsed, options, args }: Context,
  finished: ReadonlyMap<string, StageState>,
): StageState {
  const image = expandWord(from.image.raw, {
    escape: parsed.directives.escape,
    lookup: (name) => args.values.get(name),
  });
  const base = finished.get(image.text.toLowerCase());
  if (base !== undefined) return { ...base, env: new Map(base.env), declared: new Set(base.declared) };
  const facts = options.base?.(index);
  const env = new Map<string, string>();
  const known = facts?.env ?? ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
  for (const entry of known) {
    const equals = entry.indexOf('=');
    if (equals > 0) env.set(entry.slice(0, equals), entry.slice(equals + 1));
  }
  return { env, declared: new Set(), hasShell: facts?.hasShell ?? false, hasWorkdir: false };
}

function checkStage(stage: ParsedStage, state: StageState, context: Context): void {
  const last = new Map<string, Instruction>();
  for (const instruction of stage.instructions) {
    const { kind } = instruction;
    if (kind === 'cmd' || kind === 'entrypoint' || kind === 'healthcheck') {
      const earlier = last.get(kind);
      if (earlier) {
        const name = kind.toUpperCase();
        const message = `another ${name} further down makes this one useless`;
        context.warnings.add(
          'MultipleInstructionsDisallowed',
          earlier.range,
          message,
          `Keep the last ${name}.`,
          instruction,
        );
      }
      last.set(kind, instruction);
    }
    checkInstruction(instruction, state, context);
  }
}

function checkInstruction(instruction: StageInstruction, state: StageState, context: Context): void {
  const use = (word: Word, ignoreQuotes = false): string => useWord(word, instruction, state, context, ignoreQuotes);
  switch (instruction.kind) {
    case 'env': {
      // One instruction sees one snapshot of the variables.
      const values = instruction.pairs.map(({ name, value }) => [use(name), use(value)] as const);
      for (const [index, [name, value]] of values.entries()) {
        checkSecret('ENV', name, instruction.pairs[index]?.name ?? instruction, instruction, context);
        state.env.set(name, value);
      }
      checkLegacy(instruction, context);
      break;
    }
    case 'label':
      for (const { name, value } of instruction.pairs) [use(name), use(value)];
      checkLegacy(instruction, context);
      break;
    case 'arg':
      for (const { name, value } of instruction.args) declare(name, value, instruction, state, context);
      break;
    case 'copy':
    case 'add': {
      const { chown, chmod, checksum, sources, destination } = instruction;
      for (const word of [chown, chmod, checksum, destination]) if (word) use(word);
      for (const source of sources) {
        if (source.kind === 'path') use(source.word);
        else if (source.heredoc.expand) use({ raw: source.heredoc.content, range: source.heredoc.range }, true);
      }
      break;
    }
    case 'run':
      for (const word of mountWords(instruction)) use(word);
      break;
    case 'workdir':
      checkWorkdir(use(instruction.word), instruction, state, context);
      break;
    case 'user':
    case 'stopsignal':
      use(instruction.word);
      break;
    case 'volume':
      for (const word of instruction.words) use(word);
      break;
    case 'expose':
      for (const word of instruction.words) checkPort(word, instruction, state, context);
      break;
    case 'shell':
      state.hasShell = true;
      break;
    case 'cmd':
    case 'entrypoint':
      if (instruction.command.form === 'shell' && !state.hasShell) {
        const name = instruction.kind.toUpperCase();
        context.warnings.add(
          'JSONArgsRecommended',
          instruction.range,
          `${name} in shell form runs under a shell that passes on no signals`,
          `Write ${name} ["program", "argument"], or a SHELL before it.`,
          instruction,
        );
      }
      break;
  }
}

function useWord(
  word: Word,
  instruction: StageInstruction,
  state: StageState,
  { parsed, warnings }: Context,
  ignoreQuotes: boolean,
): string {
  const result = expandWord(word.raw, {
    escape: ignoreQuotes ? '\\' : parsed.directives.escape,
    lookup: (name) => state.env.get(name),
    ignoreQuotes,
  });
  for (const name of result.unset) {
    if (state.declared.has(name) || scannerArgs.has(name)) continue;
    const near = state.env.size <= mostSuggestions ? nearest(name, [...state.env.keys()]) : undefined;
    warnings.add(
      'UndefinedVar',
      word.range,
      `the variable '$${name}' is not set here${suggestion(near && `$${near}`)}`,
      near === undefined ? `Declare it with ARG ${name} or ENV ${name}=<value> above.` : `Write $${near}.`,
      instruction,
    );
  }
  return result.text.slice(0, longestValue);
}

function declare(
  name: Word,
  value: Word | undefined,
  instruction: StageInstruction,
  state: StageState,
  context: Context,
): void {
  const { options, args } = context;
  checkSecret('ARG', name.raw, name, instruction, context);
  let result: string | undefined;
  if (Object.hasOwn(options.buildArgs, name.raw)) result = options.buildArgs[name.raw];
  else if (value !== undefined) result = useWord(value, instruction, state, context, false);
  else result = args.values.get(name.raw);
  if (result !== undefined && !scannerArgs.has(name.raw)) state.env.set(name.raw, result);
  state.declared.add(name.raw);
}

const secretWord = /(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i;
const harmlessWord = /(?:_|^)(?:public|file|version)(?:_|$)/i;

function checkSecret(
  keyword: 'ARG' | 'ENV',
  name: string,
  at: { readonly range: Word['range'] },
  instruction: StageInstruction,
  { warnings }: Context,
): void {
  if (!secretWord.test(name) || harmlessWord.test(name)) return;
  warnings.add(
    'SecretsUsedInArgOrEnv',
    at.range,
    `${keyword} ${name} looks like a secret, and its value stays in the image`,
    `Hand it to the step that needs it: RUN --mount=type=secret,id=${name},env=${name}.`,
    instruction,
  );
}

function checkLegacy(instruction: StageInstruction, { warnings }: Context): void {
  if ((instruction.kind !== 'env' && instruction.kind !== 'label') || !instruction.legacy) return;
  const name = instruction.kind.toUpperCase();
  warnings.add(
    'LegacyKeyValueFormat',
    instruction.range,
    `${name} with a space between name and value is the old form`,
    `Write ${name} ${instruction.pairs[0]?.name.raw ?? 'name'}=<value>.`,
    instruction,
  );
}

function checkWorkdir(path: string, instruction: StageInstruction, state: StageState, { warnings }: Context): void {
  if (!state.hasWorkdir && !path.startsWith('/')) {
    warnings.add(
      'WorkdirRelativePath',
      instruction.range,
      `WORKDIR ${path} depends on where the base image happens to be`,
      'Write an absolute path.',
      instruction,
    );
  }
  state.hasWorkdir = true;
}

function checkPort(word: Word, instruction: StageInstruction, state: StageState, { parsed, warnings }: Context): void {
  const { words } = expandWords(word.raw, {
    escape: parsed.directives.escape,
    lookup: (name) => state.env.get(name),
  });
  for (const port of words) {
    const lastColon = port.lastIndexOf(':');
    const container = port.slice(lastColon + 1);
    const slash = container.indexOf('/');
    const protocol = slash < 0 ? '' : container.slice(slash + 1);
    if (protocol !== protocol.toLowerCase()) {
      const message = `the protocol of '${port}' is not in lower case`;
      const hint = `Write ${port.slice(0, port.length - protocol.length)}${protocol.toLowerCase()}.`;
      warnings.add('ExposeProtoCasing', word.range, message, hint, instruction);
    }
    if (lastColon > 0) {
      const message = `'${port}' names an address or a port of the host, which an image cannot choose`;
      warnings.add('ExposeInvalidFormat', word.range, message, `Write EXPOSE ${container}.`, instruction);
    }
  }
}

function mountWords(run: RunInstruction): Word[] {
  return run.mounts.flatMap(({ fields, range }) =>
    fields.flatMap(({ key, value }) => (value === undefined || key === 'from' ? [] : [{ raw: value, range }])),
  );
}
