/**
 * Prints what was parsed: directives, then each instruction on one line with its comments and heredocs.
 * Invariant: parsing the result gives the same instructions; ranges, empty continuation lines, and blanks after an escape
 * character at the end of a trigger are not kept.
 */
import { trimEnd } from './expand/white-space.ts';
import type { Directives, Instruction, ParsedDockerfile } from './types.ts';

export function formatDockerfile(parsed: ParsedDockerfile): string {
  const { directives } = parsed;
  // The empty line ends the directives: a comment that looks like one stays a comment.
  const lines = [...directiveLines(directives), ''];
  for (const instruction of parsed.globalArgs) printInstruction(instruction, directives.escape, lines);
  for (const { from, instructions } of parsed.stages) {
    printInstruction(from, directives.escape, lines);
    for (const instruction of instructions) printInstruction(instruction, directives.escape, lines);
  }
  return `${lines.join('\n')}\n`;
}

function directiveLines({ syntax, escape: escapeCharacter, check }: Directives): string[] {
  const lines = syntax === undefined ? [] : [`# syntax=${syntax}`];
  if (escapeCharacter !== '\\') lines.push(`# escape=${escapeCharacter}`);
  if (check) {
    const options = [`error=${check.error}`];
    if (check.skipAll) options.push('skip=all');
    if (check.skip.length > 0) options.push(`skip=${check.skip.join(',')}`);
    if (check.experimental.length > 0) options.push(`experimental=${check.experimental.join(',')}`);
    lines.push(`# check=${options.join(';')}`);
  }
  return lines;
}

function printInstruction(instruction: Instruction, escapeCharacter: string, lines: string[]): void {
  for (const comment of instruction.comments ?? []) lines.push(`# ${comment}`);
  if (instruction.commentsDetached) lines.push('');
  const { original } = instruction;
  const isContinued = original.endsWith(escapeCharacter) && original.at(-2) !== escapeCharacter;
  // White space that is not a blank keeps an escape character at the end from continuing the line, and is no argument.
  lines.push(isContinued ? `${original}\f` : `${original}${tailOf(instruction)}`);
  const bodies = bodiesOf(instruction);
  if (bodies !== '') lines.push(bodies);
}

/** A trigger keeps the blanks at the end of its line: they are in the image's configuration. */
function tailOf(instruction: Instruction): string {
  if (instruction.kind !== 'onbuild') return '';
  const line = instruction.trigger.split('\n', 1)[0] ?? '';
  return line.slice(trimEnd(line, 0, line.length));
}

/** The heredocs' bodies and terminators, without a line end after the last. */
function bodiesOf(instruction: Instruction): string {
  if (instruction.kind === 'onbuild') {
    const firstLine = instruction.trigger.indexOf('\n');
    return firstLine < 0 ? '' : instruction.trigger.slice(firstLine + 1);
  }
  const heredocs =
    instruction.kind === 'run'
      ? instruction.heredocs
      : instruction.kind === 'copy' || instruction.kind === 'add'
        ? instruction.sources.flatMap((source) => (source.kind === 'heredoc' ? [source.heredoc] : []))
        : [];
  return heredocs.map(({ raw, name }) => `${raw}${name}`).join('\n');
}
