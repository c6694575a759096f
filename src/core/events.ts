/**
 * Everything that can happen while tsbuild works, as one union. Rooms emit; only the CLI and the action render.
 * Invariant: an event carries no secret and no unredacted URL.
 */
import type { TsbuildError } from './errors.ts';
import type { SourceLocation } from './source.ts';

/** Identifies a step within one run of tsbuild. */
export type StepId = string;

export interface StepInfo {
  readonly id: StepId;
  /** What a person reads: `[build 2/5] RUN make`. */
  readonly title: string;
  readonly source?: SourceLocation;
}

export type StepOutcome = 'done' | 'cached' | 'failed' | 'cancelled';

export type TsbuildEvent =
  /** The steps this run may execute, in display order. Sent once per platform, before any step starts. */
  | { readonly kind: 'plan'; readonly steps: readonly StepInfo[] }
  /** A step begins. Steps not in a plan (resolving a base, exporting) announce themselves here. */
  | { readonly kind: 'step-started'; readonly step: StepInfo }
  | {
      readonly kind: 'step-output';
      readonly id: StepId;
      readonly stream: 'stdout' | 'stderr';
      readonly chunk: Uint8Array;
    }
  /** `milliseconds`: wall time since the step started. `error` only with `failed`. */
  | {
      readonly kind: 'step-finished';
      readonly id: StepId;
      readonly outcome: StepOutcome;
      readonly milliseconds: number;
      readonly error?: TsbuildError;
    }
  /** A running transfer within a step; bytes. `total` undefined: unknown. The last one has `done === total`. */
  | {
      readonly kind: 'transfer';
      readonly id: StepId;
      readonly item: string;
      readonly done: number;
      readonly total: number | undefined;
    }
  /** Something the user should know now. `code` names a warning's rule, when it has one. */
  | {
      readonly kind: 'notice';
      readonly level: 'info' | 'warning';
      readonly message: string;
      readonly code?: string;
      readonly source?: SourceLocation;
    };

export type EventSink = (event: TsbuildEvent) => void;

export const ignoreEvents: EventSink = () => {};
