/** RUN, CMD, ENTRYPOINT, SHELL and HEALTHCHECK: instructions that hold a command. */
import { nearest, suggestion } from '../../../core/index.ts';
import { parseDuration } from '../duration.ts';
import { isSpace, skipSpace } from '../expand/white-space.ts';
import type {
  Command,
  CommandInstruction,
  HealthcheckInstruction,
  Heredoc,
  MountFlag,
  RunInstruction,
  ShellInstruction,
} from '../types.ts';
import { commonOf } from './common.ts';
import { type FlagKind, type FlagValue, readFlags } from './flags.ts';
import { readJsonArray } from './json-array.ts';
import { argumentsRange, type InstructionLine } from './line.ts';
import { checkMount, splitMount } from './mount.ts';

const runFlags: Readonly<Record<string, FlagKind>> = {
  mount: 'strings',
  network: 'string',
  security: 'string',
  device: 'strings',
};
const networks = ['default', 'none', 'host'];
const securities = ['sandbox', 'insecure'];

export function readRun(on: InstructionLine, heredocs: readonly Heredoc[]): RunInstruction | undefined {
  const flags = readFlags('RUN', on.flags, runFlags, on.range, on.report);
  const command = readCommand(on);
  if (command === undefined) return undefined;
  const network = oneOf(on, 'network', flags.one('network'), networks);
  const security = oneOf(on, 'security', flags.one('security'), securities);
  const devices = flags.all('device').map(({ value, range }) => ({ raw: value, range }));
  return {
    kind: 'run',
    ...commonOf(on),
    command,
    heredocs,
    mounts: flags.all('mount').flatMap((flag) => readMount(on, flag)),
    ...(network && { network: { raw: network.value, range: network.range } }),
    ...(security && { security: { raw: security.value, range: security.range } }),
    ...(devices.length > 0 && { devices }),
  };
}

function readMount(on: InstructionLine, flag: FlagValue): MountFlag[] {
  const fields = splitMount(flag.value);
  const checked = 'message' in fields ? { type: 'bind' as const, problem: fields } : checkMount(fields);
  if (checked.problem) {
    const { message, hint, field } = checked.problem;
    const place = field && flag.at !== undefined ? on.range(flag.at + field[0], flag.at + field[1]) : flag.range;
    on.report.errorWhenBuilt('dockerfile-mount', place, message, hint);
  }
  return 'message' in fields
    ? []
    : [
        {
          range: flag.range,
          raw: flag.value,
          type: checked.type,
          fields: fields.map(({ key, value }) => ({ key, value })),
        },
      ];
}

function oneOf(
  on: InstructionLine,
  name: string,
  flag: FlagValue | undefined,
  allowed: readonly string[],
): FlagValue | undefined {
  if (flag === undefined || allowed.includes(flag.value)) return flag;
  on.report.error(
    'dockerfile-flag',
    flag.range,
    `'${flag.value}' is not a value of --${name}${suggestion(nearest(flag.value, allowed))}`,
    `Write --${name}= with one of ${allowed.join(', ')}.`,
  );
  return undefined;
}

export function readCommandInstruction(on: InstructionLine): CommandInstruction | undefined {
  const kind = on.name === 'CMD' ? 'cmd' : 'entrypoint';
  readFlags(on.name, on.flags, {}, on.range, on.report);
  const command = readCommand(on);
  return command && { kind, ...commonOf(on), command };
}

export function readShell(on: InstructionLine): ShellInstruction | undefined {
  readFlags('SHELL', on.flags, {}, on.range, on.report);
  const command = readCommand(on);
  if (command === undefined) return undefined;
  if (command.form === 'exec' && command.args.length > 0) return { kind: 'shell', ...commonOf(on), args: command.args };
  const wrong = command.form === 'shell' && command.text !== '';
  on.report.error(
    'dockerfile-arguments',
    argumentsRange(on),
    wrong ? 'SHELL takes a JSON array' : 'SHELL names no shell',
    wrong ? `Write SHELL ${JSON.stringify(command.text.split(/\s+/))}.` : 'Write SHELL ["/bin/sh", "-c"].',
  );
  return undefined;
}

/** The whole arguments as a command; an array with something else than strings is reported. */
function readCommand(on: InstructionLine): Command | undefined {
  return commandOf(on, on.rest, on.from);
}

function commandOf(on: InstructionLine, text: string, from: number): Command | undefined {
  const json = from === on.from ? on.json : readJsonArray(text);
  if (json.kind === 'array') return { form: 'exec', args: json.values };
  if (json.kind === 'none') return { form: 'shell', text };
  mixedArray(on, from);
  return undefined;
}

export function mixedArray(on: InstructionLine, from: number): void {
  on.report.error(
    'dockerfile-json',
    on.range(from, on.to),
    `the JSON array of ${on.name} holds something that is not a string`,
    'Put double quotes around each element.',
  );
}

const durations = ['interval', 'timeout', 'start-period', 'start-interval'] as const;

export function readHealthcheck(on: InstructionLine): HealthcheckInstruction | undefined {
  const { text } = on.line;
  let end = on.from;
  while (end < on.to && !isSpace(text.charCodeAt(end))) end += 1;
  const word = text.slice(on.from, end);
  const type = word.toUpperCase();
  const place = on.range(on.from, end);
  if (type === '') {
    const hint = 'Write HEALTHCHECK CMD <command>, or HEALTHCHECK NONE.';
    on.report.error('dockerfile-arguments', argumentsRange(on), 'HEALTHCHECK has no command', hint);
    return undefined;
  }
  const at = Math.min(skipSpace(text, end), on.to);
  if (type === 'NONE') {
    if (at >= on.to) return { kind: 'healthcheck', ...commonOf(on), check: { kind: 'none' } };
    on.report.error('dockerfile-arguments', on.range(at, on.to), 'HEALTHCHECK NONE takes no arguments', 'Remove them.');
    return undefined;
  }
  const flags = readFlags(
    'HEALTHCHECK',
    on.flags,
    { interval: 'string', timeout: 'string', 'start-period': 'string', 'start-interval': 'string', retries: 'string' },
    on.range,
    on.report,
  );
  if (type !== 'CMD') {
    const near = nearest(type, ['CMD', 'NONE']);
    const hint = 'Write HEALTHCHECK CMD <command>, or HEALTHCHECK NONE.';
    on.report.error('dockerfile-arguments', place, `'${word}' is not a kind of HEALTHCHECK${suggestion(near)}`, hint);
    return undefined;
  }
  const command = commandOf(on, text.slice(at, on.to), at);
  if (command === undefined) return undefined;
  if (command.form === 'shell' ? command.text === '' : command.args.length === 0) {
    on.report.error(
      'dockerfile-arguments',
      place,
      'HEALTHCHECK CMD has no command',
      'Write HEALTHCHECK CMD <command>.',
    );
    return undefined;
  }
  const [interval, timeout, startPeriod, startInterval] = durations.map((name) =>
    readDuration(on, name, flags.one(name)),
  );
  return {
    kind: 'healthcheck',
    ...commonOf(on),
    check: {
      kind: 'command',
      command,
      interval: interval ?? 0,
      timeout: timeout ?? 0,
      startPeriod: startPeriod ?? 0,
      startInterval: startInterval ?? 0,
      retries: readRetries(on, flags.one('retries')),
    },
  };
}

const millisecond = 1e6;

function readDuration(on: InstructionLine, name: string, flag: FlagValue | undefined): number {
  if (flag === undefined || flag.value === '') return 0;
  const nanoseconds = parseDuration(flag.value);
  const hint = `Write a duration of at least 1ms, such as --${name}=30s or --${name}=1m30s.`;
  if (nanoseconds === undefined) {
    on.report.error('dockerfile-healthcheck', flag.range, `'${flag.value}' is not a duration`, hint);
    return 0;
  }
  if (nanoseconds !== 0 && nanoseconds < millisecond) {
    on.report.error('dockerfile-healthcheck', flag.range, `--${name} is shorter than 1ms`, hint);
    return 0;
  }
  return nanoseconds;
}

function readRetries(on: InstructionLine, flag: FlagValue | undefined): number {
  if (flag === undefined || flag.value === '') return 0;
  if (/^\+?\d+$/.test(flag.value) && Number(flag.value) < 2 ** 31) return Number(flag.value);
  const message = `'${flag.value}' is not a number of retries`;
  on.report.error('dockerfile-healthcheck', flag.range, message, 'Write a whole number, such as --retries=3.');
  return 0;
}
