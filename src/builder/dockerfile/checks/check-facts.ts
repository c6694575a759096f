/** The two checks that need more than the text: what a base image is, and what the ignore file leaves out. */
import { formatPlatform, normalizePlatform, type Platform } from '../../../image/index.ts';
import type { CopyInstruction, Diagnostic, FromInstruction, ParsedDockerfile, Word } from '../types.ts';
import { newWarnings } from './warnings.ts';

/** InvalidBaseImagePlatform: the image that was found is for another platform than the stage asked for. */
export function checkBaseImagePlatform(
  parsed: ParsedDockerfile,
  from: FromInstruction,
  expected: Platform,
  actual: Platform,
): readonly Diagnostic[] {
  const warnings = newWarnings(parsed.directives.check);
  if (expected.os !== actual.os || expected.architecture !== actual.architecture) {
    const wanted = formatPlatform(normalizePlatform(expected));
    warnings.add(
      'InvalidBaseImagePlatform',
      from.image.range,
      `${from.image.raw} is for ${formatPlatform(normalizePlatform(actual))}, and the build is for ${wanted}`,
      `Use an image for ${wanted}, or write --platform in FROM.`,
      from,
    );
  }
  return warnings.found;
}

/** CopyIgnoredFile: a source of COPY or ADD that the ignore file leaves out of the context. */
export function checkCopyIgnored(
  parsed: ParsedDockerfile,
  instruction: CopyInstruction,
  source: Word,
  path: string,
): readonly Diagnostic[] {
  const warnings = newWarnings(parsed.directives.check);
  warnings.add(
    'CopyIgnoredFile',
    source.range,
    `the ignore file leaves '${path}' out of the context`,
    'Remove its line from the ignore file, or do not copy it.',
    instruction,
  );
  return warnings.found;
}
