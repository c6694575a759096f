/**
 * Command-line flags as data: one table per command drives parsing, `--help`, and the suggestions for what was
 * mistyped. Parsing is node:util's parseArgs; this module adds what docker's flags have beyond it: `--push=false`, `-t=name`,
 * and errors that name the nearest flag.
 * Invariant: a value reaches a command only through a flag its table declares.
 */
import { parseArgs } from 'node:util';
import { nearest, TsbuildError } from '../../core/index.ts';

export interface Flag {
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** What the value stands for in `--help`; a flag without one is a switch. */
  readonly value?: string;
  /** One line for `--help`; undefined hides the flag there. */
  readonly help?: string;
  /** May be given several times. */
  readonly many?: boolean;
  /** Heading in `--help`. */
  readonly group?: string;
}

export class ParsedFlags {
  readonly positionals: readonly string[];
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>, positionals: readonly string[]) {
    this.#values = values;
    this.positionals = positionals;
  }

  /** The last value given, or undefined. */
  text(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  on(name: string): boolean {
    return this.text(name) === 'true';
  }

  given(name: string): boolean {
    return this.#values.has(name);
  }
}

const truths: Readonly<Record<string, boolean>> = {
  ...Object.fromEntries(['1', 't', 'T', 'true', 'TRUE', 'True'].map((word) => [word, true])),
  ...Object.fromEntries(['0', 'f', 'F', 'false', 'FALSE', 'False'].map((word) => [word, false])),
};

/**
 * Reads arguments by a table of flags. The switch `--help`/`-h` is always understood.
 * @param firstWordEndsFlags what follows the first word is words, whatever it looks like
 * @throws TsbuildError `flag-unknown`, `flag-invalid`
 */
export function parseFlags(argv: readonly string[], flags: readonly Flag[], firstWordEndsFlags = false): ParsedFlags {
  const known: readonly Flag[] = [...flags, { name: 'help', short: 'h' }];
  const byName = new Map(known.map((flag) => [flag.name, flag]));
  const options = Object.fromEntries(
    known.map((flag) => [
      flag.name,
      {
        type: flag.value === undefined ? ('boolean' as const) : ('string' as const),
        ...(flag.short !== undefined && { short: flag.short }),
      },
    ]),
  );
  const tokensOf = (args: readonly string[]) =>
    parseArgs({ args: [...args], strict: false, allowPositionals: true, tokens: true, options }).tokens;
  let tokens = tokensOf(argv);
  const firstWord = firstWordEndsFlags ? tokens.find(({ kind }) => kind === 'positional')?.index : undefined;
  const after = firstWord === undefined ? [] : argv.slice(firstWord + 1);
  if (after.length > 0) tokens = tokensOf(argv.slice(0, argv.length - after.length));
  const values = new Map<string, string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const flag = byName.get(token.name);
    if (!flag) throw unknownFlag(token.rawName, known);
    const value = valueFor(flag, token.rawName, token.value, token.inlineValue);
    values.set(flag.name, [...(values.get(flag.name) ?? []), value]);
  }
  return new ParsedFlags(values, [...positionals, ...after]);
}

/** A failure that is the command line's fault, with the flag named as the user wrote it. */
export function invalidFlag(flag: string, why: string, hint?: string): TsbuildError {
  return new TsbuildError({
    code: 'flag-invalid',
    message: `${flag}: ${why}`,
    ...(hint !== undefined && { hint }),
  });
}

/** One of several words, else an error that suggests the nearest. */
export function oneOf<T extends string>(flag: string, value: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw invalidFlag(
    flag,
    `${JSON.stringify(value)} is not one of ${choices.join(', ')}`,
    hintOf(nearest(value, choices)),
  );
}

/** A key of a `key=value` list that must be one of several. @throws TsbuildError `flag-invalid` */
export function knownKey(flag: string, key: string, known: readonly string[]): string {
  if (known.includes(key)) return key;
  const near = nearest(key, known);
  throw invalidFlag(
    flag,
    `there is no key ${JSON.stringify(key)}`,
    hintOf(near) ?? `The keys are ${known.join(', ')}.`,
  );
}

function hintOf(near: string | undefined): string | undefined {
  return near === undefined ? undefined : `Did you mean ${near}?`;
}

/** Reads a switch's value the way docker does. */
export function parseBoolean(flag: string, value: string): boolean {
  const truth = truths[value];
  if (truth === undefined) {
    throw invalidFlag(
      flag,
      `${JSON.stringify(value)} is neither true nor false`,
      hintOf(nearest(value, ['true', 'false'])),
    );
  }
  return truth;
}

function valueFor(flag: Flag, rawName: string, value: string | undefined, inline: boolean | undefined): string {
  if (flag.value === undefined) return value === undefined ? 'true' : String(parseBoolean(rawName, value));
  if (value === undefined) throw invalidFlag(rawName, `needs a value: ${rawName} ${flag.value}`);
  const isShort = !rawName.startsWith('--');
  return isShort && inline === true && value.startsWith('=') ? value.slice(1) : value;
}

function unknownFlag(rawName: string, known: readonly Flag[]): TsbuildError {
  const names = known.map((flag) => flag.name);
  const near = rawName.startsWith('--') ? nearest(rawName.slice(2), names) : undefined;
  return new TsbuildError({
    code: 'flag-unknown',
    message: `there is no flag ${rawName}`,
    hint: near === undefined ? 'Add --help to see the flags of this command.' : `Did you mean --${near}?`,
  });
}
