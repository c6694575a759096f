/**
 * How text reaches a person: whether colours may be used, how wide text is on a terminal, and that nothing printed by a
 * build step, a registry or a Dockerfile can steer the terminal.
 */
import { Chalk, type ChalkInstance } from 'chalk';

export type Style = ChalkInstance;

type Environment = Readonly<Record<string, string | undefined>>;

/** NO_COLOR (no-color.org) and FORCE_COLOR first, else colour on terminals that are not dumb. */
export function wantsColour(env: Environment, isTerminal: boolean): boolean {
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '')
    return env.FORCE_COLOR !== '0' && env.FORCE_COLOR !== 'false';
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== '') return false;
  return isTerminal && env.TERM !== 'dumb';
}

export function styleFor(colour: boolean): Style {
  return new Chalk({ level: colour ? 1 : 0 });
}

const escapes = /\u001b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~])/g;
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** One line without escape sequences and control characters; tabs become spaces. */
export function printable(text: string): string {
  return text.replace(escapes, '').replace(controls, '').replace(/\t/g, '    ');
}

const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const zero = /\p{Mn}|\p{Me}|[\u200b-\u200f]/u;
const asciiOnly = /^[\x20-\x7e]*$/;

/** Columns that text takes; escape sequences take none. */
export function widthOf(text: string): number {
  if (asciiOnly.test(text)) return text.length;
  let columns = 0;
  for (const character of text.replace(escapes, '')) columns += columnsOf(character);
  return columns;
}

/** Text without escape sequences, cut to a number of columns, with an ellipsis where something was cut. */
export function cutToWidth(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  let result = '';
  let used = 0;
  for (const character of text) {
    used += columnsOf(character);
    if (used > columns - 1) break;
    result += character;
  }
  return columns < 1 ? '' : `${result}…`;
}

function columnsOf(character: string): number {
  if (asciiOnly.test(character)) return 1;
  return zero.test(character) ? 0 : wide.test(character) ? 2 : 1;
}

/** `1.2s`, `2m 05s`, `1h 02m`. */
export function formatDuration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  const two = (value: number) => String(value).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
}

/** Bytes in powers of 1000 with three digits, as docker prints them: `12.3MB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : Number(value.toPrecision(3))}${units[unit]}`;
}

/** When an image or a layer was made, as docker says it; the times of what is reproducible mean nothing. */
export function formatCreated(created: string | undefined, now: number): string {
  const time = Date.parse(created ?? '');
  return Number.isFinite(time) && time > 0 ? `${formatSince(now - time)} ago` : 'N/A';
}

/** As docker: `3 minutes`, `2 weeks`. */
export function formatSince(milliseconds: number): string {
  const steps = [
    ['second', 1000, 60],
    ['minute', 60_000, 60],
    ['hour', 3_600_000, 48],
    ['day', 86_400_000, 14],
    ['week', 604_800_000, 9],
    ['month', 2_592_000_000, 24],
    ['year', 31_536_000_000, Number.POSITIVE_INFINITY],
  ] as const;
  if (milliseconds < 1000) return 'less than a second';
  for (const [unit, length, most] of steps) {
    const count = Math.floor(milliseconds / length);
    if (count < most) return `${count} ${unit}${count === 1 ? '' : 's'}`;
  }
  return 'long';
}
