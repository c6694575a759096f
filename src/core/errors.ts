/**
 * The one error type that crosses a room's wall.
 * Invariant: whoever throws knows what failed, where, and one thing the user can do; only the CLI renders it.
 */
import type { ErrorCode } from './error-codes.ts';
import type { SourceLocation } from './source.ts';

export interface TsbuildErrorInit {
  readonly code: ErrorCode;
  /** What failed and where: a sentence without a full stop; URLs already redacted. */
  readonly message: string;
  /** One imperative sentence: what the user should do now. */
  readonly hint?: string;
  /** The Dockerfile (or other text) the failure points at. */
  readonly source?: SourceLocation;
  /** The last lines a step printed, when the failure is a step's. */
  readonly log?: readonly string[];
  readonly cause?: unknown;
}

export class TsbuildError extends Error {
  override readonly name = 'TsbuildError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly source: SourceLocation | undefined;
  readonly log: readonly string[];

  constructor(init: TsbuildErrorInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.code = init.code;
    this.hint = init.hint;
    this.source = init.source;
    this.log = init.log ?? [];
  }
}

export function isTsbuildError(error: unknown): error is TsbuildError {
  return error instanceof TsbuildError;
}

/** The failure every wait throws when its signal is aborted. */
export function cancelled(signal: AbortSignal): TsbuildError {
  return isTsbuildError(signal.reason)
    ? signal.reason
    : new TsbuildError({ code: 'cancelled', message: 'the operation was cancelled', cause: signal.reason });
}

export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw cancelled(signal);
}

/** Node's error code ('ENOENT', 'ECONNRESET', ...) of a system error, else undefined. */
export function systemErrorCode(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}

/** Closes a union at compile time: a new kind that is not handled does not type-check. */
export function assertNever(value: never): never {
  throw new TsbuildError({ code: 'internal', message: `unexpected value ${JSON.stringify(value)}` });
}
