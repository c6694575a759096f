/**
 * One logical line to one instruction. An instruction with a mistake that leaves no sense is reported and undefined;
 * one with a wrong flag is kept without the flag.
 */

import { nearest, suggestion } from '../../../core/index.ts';
import { trimEnd } from '../expand/white-space.ts';
import type { LineReader, LogicalLine } from '../text/lines.ts';
import type { Heredoc, Instruction, OnbuildInstruction } from '../types.ts';
import { commonOf } from './common.ts';
import { readFlags, splitFlags } from './flags.ts';
import { type HeredocMark, heredocMarks } from './heredoc.ts';
import { readJsonArray } from './json-array.ts';
import { argumentsRange, type InstructionLine } from './line.ts';
import { readCopy } from './read-copy.ts';
import { readFrom } from './read-from.ts';
import { mixedArray, readCommandInstruction, readHealthcheck, readRun, readShell } from './read-run.ts';
import { readArg, readExpose, readPairs, readVolume, readWord } from './read-words.ts';
import type { Report } from './report.ts';
import { instructionNames, lineStructure } from './structure.ts';

const withJson = new Set(['ADD', 'COPY', 'RUN', 'CMD', 'ENTRYPOINT', 'SHELL', 'VOLUME']);
const withHeredocs = new Set(['ADD', 'COPY', 'RUN']);

export interface ReadContext {
  readonly lines: LineReader;
  readonly escape: '\\' | '`';
  readonly report: Report;
}

export function readInstruction(line: LogicalLine, context: ReadContext): Instruction | undefined {
  const on = cutLine(line, 0, context);
  if (on.name === 'ONBUILD') return readOnbuild(on, context);
  const heredocs = takesHeredocs(on) ? readHeredocs(on, context) : [];
  if (heredocs === undefined) return undefined;
  if (on.json.kind === 'mixed') {
    mixedArray(on, on.from);
    return undefined;
  }
  return readNamed(on, heredocs);
}

/** Cuts a line into keyword, flags and arguments. @param from where the keyword begins (after ONBUILD) */
function cutLine(line: LogicalLine, from: number, context: ReadContext): InstructionLine {
  const { text } = line;
  const to = trimEnd(text, 0, text.length);
  const { keyword, argumentsAt } = lineStructure(text, from);
  const { flags, rest } = splitFlags(text, Math.min(argumentsAt, to), to, context.escape);
  const name = keyword.toUpperCase();
  const restText = text.slice(rest, to);
  return {
    line,
    keyword,
    name,
    get keywordRange() {
      return line.range(from, from + keyword.length);
    },
    flags,
    from: rest,
    to,
    rest: restText,
    json: withJson.has(name) ? readJsonArray(restText) : { kind: 'none' },
    escape: context.escape,
    report: context.report,
    range: (start, end) => line.range(start, end),
  };
}

function readNamed(on: InstructionLine, heredocs: readonly Heredoc[]): Instruction | undefined {
  switch (on.name) {
    case 'FROM':
      return readFrom(on);
    case 'RUN':
      return readRun(on, heredocs);
    case 'COPY':
    case 'ADD':
      return readCopy(on, heredocs);
    case 'ENV':
    case 'LABEL':
      return readPairs(on);
    case 'ARG':
      return readArg(on);
    case 'CMD':
    case 'ENTRYPOINT':
      return readCommandInstruction(on);
    case 'SHELL':
      return readShell(on);
    case 'WORKDIR':
    case 'USER':
    case 'STOPSIGNAL':
    case 'MAINTAINER':
      return readWord(on, on.name);
    case 'EXPOSE':
      return readExpose(on);
    case 'VOLUME':
      return readVolume(on);
    case 'HEALTHCHECK':
      return readHealthcheck(on);
    default:
      unknownInstruction(on);
      return undefined;
  }
}

function unknownInstruction(on: InstructionLine): void {
  if (on.keyword === '') {
    const { text } = on.line;
    const message = 'the line has no instruction, only an escape character';
    on.report.error('dockerfile-instruction', on.range(0, text.length), message, 'Remove the line.');
    return;
  }
  const near = nearest(on.keyword, instructionNames);
  const written = near !== undefined && on.keyword === on.keyword.toLowerCase() ? near.toLowerCase() : near;
  const shown = on.keyword.length > 40 ? `${on.keyword.slice(0, 37)}...` : on.keyword;
  on.report.error(
    'dockerfile-instruction',
    on.keywordRange,
    `'${shown}' is not an instruction${suggestion(written)}`,
    written === undefined
      ? `Begin the line with an instruction, such as RUN, or end the line above with ${on.escape} to continue it.`
      : `Write ${written}.`,
  );
}

function takesHeredocs(on: InstructionLine): boolean {
  return withHeredocs.has(on.name) && on.json.kind === 'none';
}

/** Reads the bodies the line announces; undefined: one has no end. */
function readHeredocs(on: InstructionLine, { lines, report }: ReadContext): Heredoc[] | undefined {
  const { marks, unclosed } = heredocMarks(on.line.text);
  if (unclosed) {
    const hint = 'Close the quote: <<\'EOF\' or <<"EOF".';
    report.error(
      'dockerfile-heredoc',
      on.range(...unclosed),
      "the heredoc's name has a quote that is not closed",
      hint,
    );
    return undefined;
  }
  const heredocs: Heredoc[] = [];
  for (const mark of marks) {
    const heredoc = readBody(on, mark, lines);
    if (heredoc === undefined) {
      report.error(
        'dockerfile-heredoc',
        on.range(mark.start, mark.end),
        `the heredoc '${mark.name}' has no end`,
        `Write ${mark.name} alone on a line, without blanks around it, after the text.`,
      );
      return undefined;
    }
    heredocs.push(heredoc);
  }
  return heredocs;
}

function readBody(on: InstructionLine, mark: HeredocMark, lines: LineReader): Heredoc | undefined {
  const body = lines.heredoc(mark.name, mark.stripTabs);
  if (body === undefined) return undefined;
  const { name, expand, stripTabs, fd, start, end } = mark;
  return {
    name,
    expand,
    stripTabs,
    fd,
    content: stripTabs ? body.raw.replace(/^\t+/gm, '') : body.raw,
    raw: body.raw,
    range: on.range(start, end),
  };
}

/**
 * BuildKit reads a trigger's form (JSON, name=value, heredocs) when it stores it, and its keyword, flags and arguments
 * only when it runs; a trigger that will fail later is stored all the same.
 */
function readOnbuild(on: InstructionLine, context: ReadContext): OnbuildInstruction | undefined {
  readFlags('ONBUILD', on.flags, {}, on.range, on.report);
  if (on.rest === '') {
    on.report.error(
      'dockerfile-arguments',
      argumentsRange(on),
      'ONBUILD has no instruction',
      'Write ONBUILD RUN <command>.',
    );
    return undefined;
  }
  const inner = cutLine(on.line, on.from, context);
  if (inner.name === 'ONBUILD' || inner.name === 'FROM' || inner.name === 'MAINTAINER') {
    on.report.error(
      'dockerfile-onbuild',
      inner.keywordRange,
      `${inner.name} cannot be an ONBUILD trigger`,
      inner.name === 'ONBUILD' ? 'Write ONBUILD once.' : `Remove it, or write ${inner.name} without ONBUILD.`,
    );
    return undefined;
  }
  const heredocs = takesHeredocs(inner) ? readHeredocs(inner, context) : [];
  if (heredocs === undefined) return undefined;
  if (inner.json.kind === 'mixed') {
    mixedArray(inner, inner.from);
    return undefined;
  }
  if ((inner.name === 'ENV' || inner.name === 'LABEL') && inner.rest !== '' && readPairs(inner) === undefined) {
    return undefined;
  }
  const trigger = on.line.text.replace(/^[\t\n\f\r ]*ONBUILD[\t\n\f\r ]*/i, '');
  const bodies = heredocs.map((heredoc) => `\n${heredoc.raw}${heredoc.name}`);
  return { kind: 'onbuild', ...commonOf(on), trigger: trigger + bodies.join('') };
}
