/** The checks of FROM and of the ARGs before it. They hold for every stage, built or not. */
import { isTsbuildError, nearest, suggestion } from '../../../core/index.ts';
import { type Platform, parsePlatform, parseReference } from '../../../image/index.ts';
import { expandWord } from '../expand/expand.ts';
import type { FromInstruction, ParsedDockerfile } from '../types.ts';
import type { Warnings } from './warnings.ts';

/** Variables that need no ARG in FROM. */
export const platformArgs = [
  ...['BUILDPLATFORM', 'BUILDOS', 'BUILDOSVERSION', 'BUILDARCH', 'BUILDVARIANT'],
  ...['TARGETPLATFORM', 'TARGETOS', 'TARGETOSVERSION', 'TARGETARCH', 'TARGETVARIANT', 'TARGETSTAGE'],
];

export interface GlobalArgs {
  /** Names with a value. */
  readonly values: ReadonlyMap<string, string>;
  /** Names that may be used in FROM, with or without a value. */
  readonly declared: ReadonlySet<string>;
}

/** UTF-16 code units kept of a value: the checks need no more, and a value that doubles itself stays small. */
export const longestValue = 4096;

/** @param given `--build-arg`; empty: as if none were given */
export function globalArgsOf(parsed: ParsedDockerfile, given: Readonly<Record<string, string>>): GlobalArgs {
  const values = new Map<string, string>();
  for (const name of platformArgs) values.set(name, Object.hasOwn(given, name) ? (given[name] ?? '') : stand(name));
  const declared = new Set(platformArgs);
  for (const { name, value } of parsed.globalArgs.flatMap(({ args }) => args)) {
    declared.add(name.raw);
    if (Object.hasOwn(given, name.raw)) values.set(name.raw, given[name.raw] ?? '');
    else if (value !== undefined) values.set(name.raw, expand(parsed, value.raw, values).text.slice(0, longestValue));
  }
  return { values, declared };
}

/** What stands for a platform argument whose value is not known here. */
function stand(name: string): string {
  if (name.endsWith('PLATFORM')) return 'linux/amd64';
  if (name.endsWith('OS')) return 'linux';
  if (name.endsWith('ARCH')) return 'amd64';
  return name === 'TARGETSTAGE' ? 'default' : '';
}

export function checkFroms(
  parsed: ParsedDockerfile,
  given: Readonly<Record<string, string>>,
  warnings: Warnings,
): void {
  const defaults = globalArgsOf(parsed, {});
  const args = globalArgsOf(parsed, given);
  const stages = new Set<string>();
  for (const { from } of parsed.stages) {
    const bare = expand(parsed, from.image.raw, defaults.values);
    if (!bare.error && !stages.has(bare.text.toLowerCase()) && !isReference(bare.text)) {
      warnings.add(
        'InvalidDefaultArgInFrom',
        from.image.range,
        `without --build-arg, '${from.image.raw}' is ${bare.text === '' ? 'empty' : `'${bare.text}'`}, which names no image`,
        'Give the ARG a default that makes a whole image name.',
      );
    }
    checkDeclared(parsed, from, args, warnings);
    checkPlatform(parsed, from, args, warnings);
    if (from.name !== undefined) stages.add(from.name);
  }
}

function checkDeclared(parsed: ParsedDockerfile, from: FromInstruction, args: GlobalArgs, warnings: Warnings): void {
  for (const word of [from.image, ...(from.platform ? [from.platform] : [])]) {
    for (const name of expand(parsed, word.raw, args.values).unset) {
      if (args.declared.has(name)) continue;
      const near = nearest(name, [...args.declared]);
      warnings.add(
        'UndefinedArgInFrom',
        word.range,
        `no ARG before the first FROM declares '${name}'${suggestion(near)}`,
        near === undefined ? `Write ARG ${name}=<default> before the first FROM.` : `Write $${near}.`,
        from,
      );
    }
  }
}

function checkPlatform(parsed: ParsedDockerfile, from: FromInstruction, args: GlobalArgs, warnings: Warnings): void {
  if (from.platform === undefined) return;
  const { text, used, unset } = expand(parsed, from.platform.raw, args.values);
  if (used.size === 1 && used.has('TARGETPLATFORM') && unset.size === 0) {
    if (text !== args.values.get('TARGETPLATFORM')) return;
    warnings.add(
      'RedundantTargetPlatform',
      from.platform.range,
      `--platform=${from.platform.raw} is what FROM does by itself`,
      'Remove the flag.',
      from,
    );
  }
  if (used.size > 0 || unset.size > 0) return;
  const platform = tryPlatform(text);
  if (platform === undefined) return;
  const name = from.name ?? '';
  if (name.includes(platform.os) || name.includes(platform.architecture)) return;
  warnings.add(
    'FromPlatformFlagConstDisallowed',
    from.platform.range,
    `--platform=${text} fixes the platform, whatever the build asks for`,
    'Write --platform=$BUILDPLATFORM, give --platform on the command line, or name the platform in the stage name.',
    from,
  );
}

function expand(parsed: ParsedDockerfile, word: string, values: ReadonlyMap<string, string>) {
  return expandWord(word, { escape: parsed.directives.escape, lookup: (name) => values.get(name) });
}

function isReference(text: string): boolean {
  try {
    parseReference(text);
    return true;
  } catch (error) {
    if (isTsbuildError(error) && error.code === 'reference-invalid') return false;
    throw error;
  }
}

function tryPlatform(text: string): Platform | undefined {
  try {
    return parsePlatform(text, { os: 'linux', architecture: 'amd64' });
  } catch (error) {
    if (isTsbuildError(error) && error.code === 'platform-invalid') return undefined;
    throw error;
  }
}
