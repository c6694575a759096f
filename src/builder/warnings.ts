/** The build checks' findings for one Dockerfile, each once, in the order of the text. */
import { TsbuildError } from '../core/index.ts';
import {
  checkBaseImagePlatform,
  checkCopyIgnored,
  checkDockerfile,
  type Diagnostic,
  type ParsedDockerfile,
} from './dockerfile/index.ts';
import type { Plan, PlannedStage } from './plan/index.ts';

export interface WarningFacts {
  readonly buildArgs: Readonly<Record<string, string>>;
  /** What will be built; without it only the text is checked. */
  readonly plans?: readonly Plan[];
  /** Whether the ignore file leaves a path out of the build context. */
  readonly isIgnored?: (path: string) => boolean;
}

export function collectWarnings(parsed: ParsedDockerfile, facts: WarningFacts): readonly Diagnostic[] {
  const stages = facts.plans?.flatMap((plan) => plan.stages);
  const found = [
    ...checkDockerfile(parsed, {
      buildArgs: facts.buildArgs,
      ...(stages && { built: new Set(stages.map(({ id }) => id)), base: (id: number) => baseFacts(stages, id) }),
    }),
    ...(stages ?? []).flatMap((stage) => checkBase(parsed, stage)),
    ...checkIgnored(parsed, facts),
  ];
  const unique = new Map(found.map((one) => [JSON.stringify([one.code, one.range, one.message]), one]));
  return [...unique.values()].sort(
    (a, b) => a.range.start.line - b.range.start.line || a.range.start.column - b.range.start.column,
  );
}

/** `# check=error=true` makes any finding a failure, before anything is built. @throws TsbuildError `build-check-failed` */
export function refuseWarnings(parsed: ParsedDockerfile, warnings: readonly Diagnostic[]): void {
  const [first] = warnings;
  if (!first || !parsed.directives.check?.error) return;
  const others = warnings.length > 1 ? ` (and ${warnings.length - 1} more)` : '';
  throw new TsbuildError({
    code: 'build-check-failed',
    message: `${first.code}: ${first.message}${others}`,
    hint: first.hint ?? `See docs/checks/${first.code}.md, or leave error=true out of the check directive.`,
    source: { file: parsed.file, text: parsed.text, range: first.range },
  });
}

function baseFacts(stages: readonly PlannedStage[], id: number) {
  const base = stages.find((stage) => stage.id === id)?.base;
  if (base?.kind !== 'image') return undefined;
  const { Env = [], Shell } = base.image.config.config;
  return { env: Env, hasShell: Shell !== undefined };
}

function checkBase(parsed: ParsedDockerfile, stage: PlannedStage): readonly Diagnostic[] {
  const from = parsed.stages[stage.id]?.from;
  if (!from || stage.base.kind !== 'image') return [];
  return checkBaseImagePlatform(parsed, from, stage.platform, stage.base.image.config);
}

function checkIgnored(parsed: ParsedDockerfile, { isIgnored }: WarningFacts): readonly Diagnostic[] {
  if (!isIgnored) return [];
  return parsed.stages.flatMap(({ instructions }) =>
    instructions.flatMap((instruction) => {
      if ((instruction.kind !== 'copy' && instruction.kind !== 'add') || instruction.from) return [];
      const words = instruction.sources.flatMap((source) => (source.kind === 'path' ? [source.word] : []));
      return words
        .filter(({ raw }) => !/[$*?[\\]|^\w+:\/\//.test(raw) && isIgnored(raw))
        .flatMap((word) => checkCopyIgnored(parsed, instruction, word, word.raw));
    }),
  );
}
