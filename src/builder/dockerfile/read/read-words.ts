/** The instructions whose arguments are words: ENV, LABEL, ARG, EXPOSE, VOLUME, WORKDIR, USER, STOPSIGNAL, MAINTAINER. */
import { isWordBreak } from '../expand/white-space.ts';
import type {
  ArgInstruction,
  EnvInstruction,
  LabelInstruction,
  Pair,
  Word,
  WordInstruction,
  WordsInstruction,
} from '../types.ts';
import { commonOf } from './common.ts';
import { readFlags } from './flags.ts';
import { argumentsRange, type InstructionLine, restWord, wordOf } from './line.ts';
import { lineWords } from './structure.ts';
import { type Piece, splitBlank, splitQuoted } from './words.ts';

/** The strings of the JSON form as words (their text is what the JSON means); undefined: another form. */
export function jsonWords(on: InstructionLine): Word[] | undefined {
  if (on.json.kind !== 'array') return undefined;
  const range = argumentsRange(on);
  return on.json.values.map((raw) => ({ raw, range }));
}

export function readPairs(on: InstructionLine): EnvInstruction | LabelInstruction | undefined {
  const kind = on.name === 'ENV' ? 'env' : 'label';
  readFlags(on.name, on.flags, {}, on.range, on.report);
  const pieces = splitQuoted(on.line.text, on.from, on.to, on.escape);
  const [first] = pieces;
  if (first === undefined) {
    on.report.error(
      'dockerfile-arguments',
      argumentsRange(on),
      `${on.name} sets nothing`,
      `Write ${on.name} name=value.`,
    );
    return undefined;
  }
  if (!first.text.includes('=')) return readLegacyPair(on, kind);
  const pairs: Pair[] = [];
  for (const piece of pieces) {
    const pair = readPair(on, piece);
    if (pair === undefined) return undefined;
    pairs.push(pair);
  }
  return { kind, ...commonOf(on), pairs, legacy: false };
}

function readPair(on: InstructionLine, piece: Piece): Pair | undefined {
  const equals = piece.text.indexOf('=');
  if (equals < 0) {
    on.report.error(
      'dockerfile-key-value',
      on.range(piece.start, piece.end),
      `'${shorten(piece.text)}' has no '='`,
      `Write name=value, and put quotes around a value with spaces.`,
    );
    return undefined;
  }
  if (equals === 0) {
    on.report.error(
      'dockerfile-key-value',
      on.range(piece.start, piece.end),
      `${on.name} has a value without a name`,
      `Write a name before the '='.`,
    );
    return undefined;
  }
  return {
    name: { raw: piece.text.slice(0, equals), range: on.range(piece.start, piece.start + equals) },
    value: { raw: piece.text.slice(equals + 1), range: on.range(piece.start + equals + 1, piece.end) },
  };
}

/** `ENV name the rest`. */
function readLegacyPair(on: InstructionLine, kind: 'env' | 'label'): EnvInstruction | LabelInstruction | undefined {
  const { text } = on.line;
  let end = on.from;
  while (end < on.to && !isWordBreak(text.charCodeAt(end))) end += 1;
  let valueAt = end;
  while (valueAt < on.to && isWordBreak(text.charCodeAt(valueAt))) valueAt += 1;
  const name = text.slice(on.from, end);
  if (end >= on.to) {
    on.report.error(
      'dockerfile-arguments',
      on.range(on.from, on.to),
      `${on.name} gives '${shorten(name)}' no value`,
      `Write ${on.name} ${shorten(name)}=<value>.`,
    );
    return undefined;
  }
  const pair: Pair = {
    name: { raw: name, range: on.range(on.from, end) },
    value: { raw: text.slice(valueAt, on.to), range: on.range(valueAt, on.to) },
  };
  return { kind, ...commonOf(on), pairs: [pair], legacy: true };
}

export function readArg(on: InstructionLine): ArgInstruction | undefined {
  const args: { name: Word; value?: Word }[] = [];
  for (const piece of splitQuoted(on.line.text, on.from, on.to, on.escape)) {
    if (!piece.text.includes('=')) {
      args.push({ name: wordOf(on, piece) });
      continue;
    }
    const pair = readPair(on, piece);
    if (pair === undefined) return undefined;
    args.push(pair);
  }
  if (args.length === 0) {
    on.report.error(
      'dockerfile-arguments',
      argumentsRange(on),
      'ARG names no argument',
      'Write ARG name or ARG name=default.',
    );
    return undefined;
  }
  return { kind: 'arg', ...commonOf(on), args };
}

const wordKinds = {
  WORKDIR: { kind: 'workdir', example: '/app' },
  USER: { kind: 'user', example: 'app' },
  STOPSIGNAL: { kind: 'stopsignal', example: 'SIGTERM' },
  MAINTAINER: { kind: 'maintainer', example: 'name' },
} as const;

export function readWord(on: InstructionLine, name: keyof typeof wordKinds): WordInstruction | undefined {
  const { kind, example } = wordKinds[name];
  // BuildKit drops flags of STOPSIGNAL without a word.
  if (kind !== 'stopsignal') readFlags(on.name, on.flags, {}, on.range, on.report);
  if (on.rest === '') {
    on.report.error('dockerfile-arguments', argumentsRange(on), `${name} has no argument`, `Write ${name} ${example}.`);
    return undefined;
  }
  return { kind, ...commonOf(on), word: restWord(on) };
}

export function readExpose(on: InstructionLine): WordsInstruction | undefined {
  readFlags('EXPOSE', on.flags, {}, on.range, on.report);
  const words = splitBlank(on.line.text, on.from, on.to).map((piece) => wordOf(on, piece));
  if (words.length > 0) return { kind: 'expose', ...commonOf(on), words };
  on.report.error(
    'dockerfile-arguments',
    argumentsRange(on),
    'EXPOSE names no port',
    'Write EXPOSE 8080 or EXPOSE 53/udp.',
  );
  return undefined;
}

export function readVolume(on: InstructionLine): WordsInstruction | undefined {
  readFlags('VOLUME', on.flags, {}, on.range, on.report);
  const written = jsonWords(on) ?? lineWords(on.line.text, on.from, on.to).map((piece) => wordOf(on, piece));
  const words = written.map(({ raw, range }) => ({ raw: raw.trim(), range }));
  if (words.length > 0 && words.every(({ raw }) => raw !== '')) return { kind: 'volume', ...commonOf(on), words };
  const message = words.length === 0 ? 'VOLUME names no path' : 'VOLUME has an empty path';
  on.report.error('dockerfile-arguments', argumentsRange(on), message, 'Write VOLUME /data.');
  return undefined;
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
