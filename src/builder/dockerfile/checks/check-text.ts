/** The checks that look at how things are written: casing, names, forms. They hold for every stage, built or not. */
import type { ArgInstruction, FromInstruction, Instruction, ParsedDockerfile } from '../types.ts';
import type { Warnings } from './warnings.ts';

export function checkText(parsed: ParsedDockerfile, warnings: Warnings): void {
  const instructions = parsed.stages.flatMap(({ from, instructions: rest }): Instruction[] => [from, ...rest]);
  checkStageNames(parsed, warnings);
  checkCasing(instructions, warnings);
  for (const instruction of [...parsed.globalArgs, ...instructions]) checkInstruction(instruction, warnings);
}

function checkInstruction(instruction: Instruction, warnings: Warnings): void {
  if (instruction.emptyContinuation) {
    warnings.add(
      'NoEmptyContinuation',
      instruction.emptyContinuation,
      `an empty line stands inside the continued ${instruction.keyword.toUpperCase()}`,
      'Remove the empty line, or make it a comment.',
    );
  }
  switch (instruction.kind) {
    case 'maintainer':
      warnings.add(
        'MaintainerDeprecated',
        instruction.range,
        'MAINTAINER is deprecated',
        `Write LABEL org.opencontainers.image.authors=${JSON.stringify(instruction.word.raw)}.`,
        instruction,
      );
      break;
    case 'from':
      checkFromCasing(instruction, warnings);
      if (instruction.name !== undefined) checkDescription('FROM', [instruction.name], instruction, warnings);
      break;
    case 'arg':
      checkDescription(
        'ARG',
        instruction.args.map(({ name }) => name.raw),
        instruction,
        warnings,
      );
      break;
  }
}

function checkFromCasing(from: FromInstruction, warnings: Warnings): void {
  const { nameWord, asKeyword, keyword } = from;
  if (nameWord !== undefined && nameWord.raw !== nameWord.raw.toLowerCase()) {
    warnings.add(
      'StageNameCasing',
      nameWord.range,
      `the stage name '${nameWord.raw}' is not in lower case`,
      `Write ${nameWord.raw.toLowerCase()}.`,
      from,
    );
  }
  const wanted = sameCasing(keyword, 'as');
  if (asKeyword !== undefined && wanted !== undefined && asKeyword !== wanted) {
    const message = `'${asKeyword}' is not in the same case as '${keyword}'`;
    warnings.add('FromAsCasing', from.range, message, `Write ${wanted}.`, from);
  }
}

/** `word` in the case of `keyword`; undefined when the keyword mixes cases, which is another rule's business. */
function sameCasing(keyword: string, word: string): string | undefined {
  if (keyword === keyword.toLowerCase()) return word.toLowerCase();
  return keyword === keyword.toUpperCase() ? word.toUpperCase() : undefined;
}

const reserved: ReadonlySet<string> = new Set(['context', 'scratch']);

function checkStageNames(parsed: ParsedDockerfile, warnings: Warnings): void {
  const seen = new Set<string>();
  for (const { from } of parsed.stages) {
    const { name, nameWord } = from;
    if (name === undefined || nameWord === undefined) continue;
    if (reserved.has(name)) {
      const message = `the stage name '${name}' has a meaning of its own`;
      warnings.add('ReservedStageName', nameWord.range, message, 'Choose another name.');
    }
    if (seen.has(name)) {
      const message = `the stage name '${name}' is used twice`;
      warnings.add('DuplicateStageName', nameWord.range, message, 'Give each stage its own name.');
    }
    seen.add(name);
  }
}

/** Keywords are compared with the case most of the file has; ties go to upper case. */
function checkCasing(instructions: readonly Instruction[], warnings: Warnings): void {
  let lower = 0;
  let upper = 0;
  for (const { keyword } of instructions) {
    if (keyword === keyword.toLowerCase()) lower += 1;
    else if (keyword === keyword.toUpperCase()) upper += 1;
  }
  const isLower = lower > upper;
  for (const { keyword, range } of instructions) {
    const wanted = isLower ? keyword.toLowerCase() : keyword.toUpperCase();
    if (keyword === wanted) continue;
    const start = range.start;
    warnings.add(
      'ConsistentInstructionCasing',
      { start, end: { line: start.line, column: start.column + keyword.length } },
      `'${keyword}' is not in ${isLower ? 'lower' : 'upper'} case, as most instructions here are`,
      `Write ${wanted}.`,
    );
  }
}

function checkDescription(
  keyword: string,
  names: readonly string[],
  instruction: FromInstruction | ArgInstruction,
  warnings: Warnings,
): void {
  const comment = instruction.comments?.at(-1);
  if (comment === undefined || instruction.commentsDetached || names.includes(comment.split(' ', 1)[0] ?? '')) return;
  const example = names.length > 1 ? '<name>' : (names[0] ?? '<name>');
  warnings.add(
    'InvalidDefinitionDescription',
    instruction.range,
    `the comment above ${keyword} does not begin with '${example}'`,
    `Write # ${example} <description>, or put an empty line after the comment.`,
    instruction,
  );
}
