/** Exit codes: 1 a failure, 2 a mistake in the command line, 128 and the signal's number after a signal. */
import { isTsbuildError } from '../core/index.ts';

const usageCodes: ReadonlySet<string> = new Set([
  'usage',
  'command-unknown',
  'flag-unknown',
  'flag-invalid',
  'context-unusable',
  'reference-invalid',
  'platform-invalid',
]);

export function exitCodeOf(error: unknown): number {
  if (!isTsbuildError(error)) return 1;
  // A mistake that a file shows is the file's, whatever it is called.
  return usageCodes.has(error.code) && !error.source ? 2 : 1;
}
