/** All build checks that need only the text, in the order of the text. */
import type { Diagnostic, ParsedDockerfile } from '../types.ts';
import { checkFroms } from './check-from.ts';
import { checkStages, type StageCheckOptions } from './check-stages.ts';
import { checkText } from './check-text.ts';
import { newWarnings } from './warnings.ts';

/** The warnings; `# check=skip` is honoured, `# check=error` is the caller's to act on. */
export function checkDockerfile(
  parsed: ParsedDockerfile,
  options: Partial<StageCheckOptions> = {},
): readonly Diagnostic[] {
  const warnings = newWarnings(parsed.directives.check);
  const buildArgs = options.buildArgs ?? {};
  checkText(parsed, warnings);
  checkFroms(parsed, buildArgs, warnings);
  checkStages(parsed, { ...options, buildArgs }, warnings);
  return warnings.found.toSorted(
    ({ range: { start: a } }, { range: { start: b } }) => a.line - b.line || a.column - b.column,
  );
}
