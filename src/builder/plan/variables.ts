/**
 * The variables a Dockerfile sees: platform arguments, ARGs before the first FROM, and a stage's ENV and ARG values.
 * Semantics follow BuildKit (dockerfile2llb): whichever of ENV and ARG is written last decides.
 */
import { formatPlatform, type Platform } from '../../image/index.ts';
import { type ExpandError, expandWord, type ParsedDockerfile, type Word } from '../dockerfile/index.ts';
import { failAt, type Mistake } from './failure.ts';

export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Arguments every RUN gets from the command line without an ARG; never part of a key or of history. */
export const proxyArguments: ReadonlySet<string> = new Set(
  ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap((name) => [name, name.toLowerCase()]),
);

/** Arguments that steer the build itself and are no environment of RUN. */
export const steeringArguments: ReadonlySet<string> = new Set([
  'BUILDKIT_SBOM_SCAN_CONTEXT',
  'BUILDKIT_SBOM_SCAN_STAGE',
]);

/** The arguments that are there before any ARG instruction. */
export function platformArguments(
  buildPlatform: Platform,
  targetPlatform: Platform,
  targetStage: string,
  overrides: Readonly<Record<string, string>>,
): Map<string, string> {
  const of = (prefix: string, platform: Platform): [string, string][] => [
    [`${prefix}PLATFORM`, formatPlatform(platform)],
    [`${prefix}OS`, platform.os],
    [`${prefix}OSVERSION`, platform['os.version'] ?? ''],
    [`${prefix}ARCH`, platform.architecture],
    [`${prefix}VARIANT`, platform.variant ?? ''],
  ];
  const values = new Map([
    ...of('BUILD', buildPlatform),
    ...of('TARGET', targetPlatform),
    ['TARGETSTAGE', targetStage === '' ? 'default' : targetStage] as [string, string],
  ]);
  for (const name of values.keys()) {
    const given = overrides[name];
    if (given !== undefined) values.set(name, given);
  }
  return values;
}

/** Adds the ARGs that stand before the first FROM. */
export function globalArguments(
  parsed: ParsedDockerfile,
  platformValues: ReadonlyMap<string, string>,
  buildArgs: Readonly<Record<string, string>>,
): Map<string, string> {
  const values = new Map(platformValues);
  for (const instruction of parsed.globalArgs) {
    for (const { name, value } of instruction.args) {
      const given = buildArgs[name.raw];
      if (given !== undefined) values.set(name.raw, given);
      else if (value)
        values.set(
          name.raw,
          expand(parsed, value, (variable) => values.get(variable)),
        );
    }
  }
  return values;
}

/** A word with its variables put in and its quotes taken off. @throws TsbuildError at the word */
export function expand(parsed: ParsedDockerfile, word: Word, lookup: (name: string) => string | undefined): string {
  const result = expandWord(word.raw, { escape: parsed.directives.escape, lookup });
  if (result.error) throw failAt(parsed, word.range, expansionMistake(result.error));
  return result.text;
}

/** An expander whose failures are values, for readers that say themselves where they are. */
export function tryExpand(
  parsed: ParsedDockerfile,
  lookup: (name: string) => string | undefined,
): (text: string) => string | { readonly message: string; readonly hint: string } {
  return (text) => {
    const { error, text: expanded } = expandWord(text, { escape: parsed.directives.escape, lookup });
    return error ? { message: error.message, hint: error.hint } : expanded;
  };
}

export function expansionMistake({ message, hint }: ExpandError): Mistake {
  return { code: 'plan-value-invalid', message, hint };
}

export function variableName(entry: string): string {
  const equals = entry.indexOf('=');
  return equals < 0 ? entry : entry.slice(0, equals);
}

/** A `NAME=value` list by name; the last of a name counts. */
export function variablesIn(env: readonly string[]): Map<string, string> {
  return new Map(env.map((entry) => [variableName(entry), entry.slice(variableName(entry).length + 1)]));
}
