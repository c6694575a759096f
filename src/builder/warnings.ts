/** The build checks' findings for one Dockerfile, each once, in the order of the text. */
import { checkDockerfile, type Diagnostic, type ParsedDockerfile } from './dockerfile/index.ts';

export function collectWarnings(parsed: ParsedDockerfile): readonly Diagnostic[] {
  const found = [...parsed.diagnostics.filter(({ severity }) => severity === 'warning'), ...checkDockerfile(parsed)];
  const unique = new Map(found.map((one) => [JSON.stringify([one.code, one.range, one.message]), one]));
  return [...unique.values()].sort(
    (a, b) => a.range.start.line - b.range.start.line || a.range.start.column - b.range.start.column,
  );
}
