/** Errors that point into the Dockerfile. */
import { type ErrorCode, type Range, type SourceLocation, TsbuildError } from '../../core/index.ts';
import type { ParsedDockerfile } from '../dockerfile/index.ts';

export interface Mistake {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

export function failAt(parsed: ParsedDockerfile, range: Range, mistake: Mistake): TsbuildError {
  return new TsbuildError({ ...mistake, source: locate(parsed, range) });
}

export function locate(parsed: ParsedDockerfile, range: Range): SourceLocation {
  return { file: parsed.file, text: parsed.text, range };
}
