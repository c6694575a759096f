/**
 * Text to instructions. Structure and ranges come from dockerfile-ast (read/structure.ts), fed one joined line at a
 * time; what BuildKit reads differently is decided by the other modules of `read/` and `text/`.
 * Invariants: never throws, linear in the text, every range lies inside it; reading goes on after a mistake, so that
 * one run names them all.
 */
import type { Range } from '../../core/index.ts';
import { readInstruction } from './read/read-instruction.ts';
import { newReport, type Report } from './read/report.ts';
import { readDirectives } from './text/directives.ts';
import { lineReader } from './text/lines.ts';
import { type Positions, positionsOf } from './text/positions.ts';
import type {
  ArgInstruction,
  Diagnostic,
  FromInstruction,
  Instruction,
  ParsedDockerfile,
  StageInstruction,
} from './types.ts';

/** @param file the name messages show */
export function parseDockerfile(text: string, file: string): ParsedDockerfile {
  const positions = positionsOf(text);
  const report = newReport(positions);
  const { directives, instructions } = readAll(text, positions, report);
  const globalArgs: ArgInstruction[] = [];
  const stages: { from: FromInstruction; instructions: StageInstruction[] }[] = [];
  let sawFrom = false;
  for (const instruction of instructions) {
    const stage = stages.at(-1);
    if (instruction === 'from-with-mistake') sawFrom = true;
    else if (instruction.kind === 'from') {
      stages.push({ from: instruction, instructions: [] });
      sawFrom = true;
    } else if (stage) stage.instructions.push(instruction);
    else if (instruction.kind === 'arg') globalArgs.push(instruction);
    else if (!sawFrom) {
      report.error(
        'dockerfile-order',
        instruction.range,
        `${instruction.keyword.toUpperCase()} stands before the first FROM`,
        'Begin with FROM <image>; only ARG may stand before it.',
      );
    }
  }
  if (!sawFrom && !report.diagnostics.some(({ severity }) => severity === 'error'))
    reportEmpty(text, instructions.length, report);
  return { file, text, directives, globalArgs, stages, diagnostics: inOrder(report.diagnostics) };
}

export interface ParsedTrigger {
  /** Undefined when it could not be read. */
  readonly instruction: StageInstruction | undefined;
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * One ONBUILD trigger of a base image's configuration. Everything in it, and every diagnostic, points at `range`, the
 * FROM that brings it: the trigger's own text is in no file.
 * @param escapeCharacter BuildKit takes the backslash whatever the Dockerfile that uses the image says
 */
export function parseTrigger(text: string, range: Range, escapeCharacter: '\\' | '`' = '\\'): ParsedTrigger {
  const there: Positions = { position: () => range.start, range: () => range };
  const report = newReport(there);
  const [instruction, ...more] = readAll(text, there, report, escapeCharacter).instructions;
  const clean = report.diagnostics.every(({ severity }) => severity !== 'error');
  if (
    instruction === undefined ||
    more.length > 0 ||
    instruction === 'from-with-mistake' ||
    instruction.kind === 'from'
  ) {
    if (clean) {
      const message =
        more.length > 0
          ? 'the ONBUILD trigger holds more than one instruction'
          : instruction === undefined
            ? 'the ONBUILD trigger holds no instruction'
            : 'FROM cannot be an ONBUILD trigger';
      report.error('dockerfile-onbuild', range, message, 'Use another base image, or build this one again.');
    }
    return { instruction: undefined, diagnostics: report.diagnostics };
  }
  return { instruction, diagnostics: report.diagnostics };
}

function readAll(text: string, positions: Positions, report: Report, byDefault: '\\' | '`' = '\\') {
  const from = text.startsWith('\ufeff') ? 1 : 0;
  const { directives, lines: directiveLines } = readDirectives(text, from, byDefault, report);
  const lines = lineReader(text, from, positions, directiveLines);
  const context = { lines, escape: directives.escape, report };
  const instructions: (Instruction | 'from-with-mistake')[] = [];
  for (let line = lines.next(directives.escape); line; line = lines.next(directives.escape)) {
    const instruction = readInstruction(line, context);
    if (instruction) instructions.push(instruction);
    else if (/^from[\t\v\f\r ]/i.test(line.text)) instructions.push('from-with-mistake');
  }
  return { directives, instructions };
}

function reportEmpty(text: string, instructions: number, report: Report): void {
  const [message, hint] =
    instructions === 0
      ? ['the Dockerfile has no instructions', 'Begin with FROM <image>.']
      : ['the Dockerfile has no stage to build', 'Write FROM <image> after the ARGs.'];
  report.error('dockerfile-empty', [text.length, text.length], message, hint);
}

function inOrder(diagnostics: readonly Diagnostic[]): Diagnostic[] {
  return diagnostics.toSorted(
    ({ range: { start: a } }, { range: { start: b } }) => a.line - b.line || a.column - b.column,
  );
}
