/**
 * The Dockerfile cases under fixtures/dockerfile/: one folder each, with a Dockerfile and what is expected of it, in a
 * form a person can read and a diff can show.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  checkDockerfile,
  type Diagnostic,
  type Instruction,
  parseDockerfile,
} from '../../src/builder/dockerfile/index.ts';
import type { Range } from '../../src/core/index.ts';

export const dockerfileCasesRoot = fileURLToPath(new URL('../../fixtures/dockerfile', import.meta.url));

export interface DockerfileCase {
  readonly name: string;
  readonly text: string;
}

export function dockerfileCases(): DockerfileCase[] {
  return readdirSync(dockerfileCasesRoot)
    .toSorted()
    .map((name) => ({ name, text: readFileSync(join(dockerfileCasesRoot, name, 'Dockerfile'), 'utf8') }));
}

export function expectedOf(name: string): unknown {
  return JSON.parse(readFileSync(join(dockerfileCasesRoot, name, 'expected.json'), 'utf8'));
}

/** Everything the room says about a text. Only parts that say something are there. */
export function describeDockerfile(text: string): Record<string, unknown> {
  const parsed = parseDockerfile(text, 'Dockerfile');
  const { directives, globalArgs, stages, diagnostics } = parsed;
  const instructions = [...globalArgs, ...stages.flatMap(({ from, instructions: rest }) => [from, ...rest])];
  const result: Record<string, unknown> = {};
  if (Object.keys(directives).length > 1 || directives.escape !== '\\') result.directives = directives;
  if (diagnostics.length > 0) result.diagnostics = diagnostics.map(describeDiagnostic);
  const warnings = checkDockerfile(parsed);
  if (warnings.length > 0) result.warnings = warnings.map(describeDiagnostic);
  result.instructions = instructions.map(describeInstruction);
  return result;
}

export function describeDiagnostic({ severity, code, range, message, hint, whenBuilt }: Diagnostic): string[] {
  return [`${severity}${whenBuilt ? ' when built' : ''} ${code} at ${describeRange(range)}`, message, hint ?? ''];
}

/** Ranges become text; the kind leads; words are `raw @ range`. */
function describeInstruction({ kind, range, original: _original, keyword: _keyword, ...rest }: Instruction): unknown {
  return { [kind]: describeRange(range), ...(simplify(rest) as Record<string, unknown>) };
}

function simplify(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(simplify);
  if (typeof value !== 'object' || value === null) return value;
  if (isRange(value)) return describeRange(value);
  const entries = Object.entries(value);
  if ('raw' in value && 'range' in value && entries.length === 2 && isRange(value.range)) {
    return `${value.raw} @ ${describeRange(value.range)}`;
  }
  const kept = entries.filter(([, each]) => each !== undefined && !(Array.isArray(each) && each.length === 0));
  return Object.fromEntries(kept.map(([key, each]) => [key, simplify(each)]));
}

function isRange(value: unknown): value is Range {
  return typeof value === 'object' && value !== null && 'start' in value && 'end' in value;
}

export function describeRange({ start, end }: Range): string {
  return `${start.line}:${start.column}-${start.line === end.line ? '' : `${end.line}:`}${end.column}`;
}
