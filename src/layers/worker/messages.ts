/** What passes between the main thread and its workers. */
import { type ErrorCode, isTsbuildError, systemErrorCode, TsbuildError } from '../../core/index.ts';

/** What a worker gets when it is started. */
export interface WorkerData {
  /** One slot: the number of the job that is to stop. Numbers begin at 1. */
  readonly abort: Int32Array;
}

export interface JobRequest {
  readonly number: number;
  readonly job: string;
  readonly input: unknown;
  /** Somebody wants to know how much is written. */
  readonly tellsWritten: boolean;
}

export type JobReply =
  /** On the way: see `JobControl`. */
  | { readonly kind: 'written'; readonly number: number; readonly bytes: number }
  | { readonly kind: 'done'; readonly number: number; readonly output: unknown }
  | { readonly kind: 'failed'; readonly number: number; readonly error: ErrorMessage };

/** A TsbuildError as plain data: class instances do not cross threads as what they are. */
export interface ErrorMessage {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | undefined;
  /** Message and stack of the error behind it. */
  readonly cause: { readonly code: string | undefined; readonly text: string } | undefined;
}

export function errorMessage(error: unknown): ErrorMessage {
  if (!isTsbuildError(error)) {
    const message = error instanceof Error ? error.message : String(error);
    return { code: 'internal', message, hint: undefined, cause: causeOf(error) };
  }
  return { code: error.code, message: error.message, hint: error.hint, cause: causeOf(error.cause) };
}

export function errorFrom({ code, message, hint, cause }: ErrorMessage): TsbuildError {
  return new TsbuildError({
    code,
    message,
    ...(hint !== undefined && { hint }),
    ...(cause && { cause: Object.assign(new Error(cause.text), cause.code !== undefined && { code: cause.code }) }),
  });
}

function causeOf(cause: unknown): ErrorMessage['cause'] {
  if (cause === undefined) return undefined;
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  return { code: systemErrorCode(cause), text };
}
