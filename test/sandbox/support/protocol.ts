/** What tests and their driver say to each other. Types only. */
import type { RungReport, StepMount, StepResult, StepSpec } from '../../../src/sandbox/index.ts';

export type TestMount =
  | (Omit<Extract<StepMount, { kind: 'bind' }>, 'root'> & {
      /** A folder made beside the step, or an absolute path; `base` is the step's own base tree. */
      readonly host: string;
      /** Content by path; `->x` is a link. */
      readonly files?: Readonly<Record<string, string>>;
    })
  | Extract<StepMount, { kind: 'tmpfs' | 'socket' }>
  | (Omit<Extract<StepMount, { kind: 'secret' }>, 'content'> & { readonly content: string });

export interface StepRequest {
  /** For `/bin/sh -c`. */
  readonly script?: string;
  readonly step?: Partial<Omit<StepSpec, 'rootfs' | 'mounts'>>;
  readonly mounts?: readonly TestMount[];
  /** Added below the step by path; `->x` is a link, `fifo` a FIFO. */
  readonly lowers?: Readonly<Record<string, string>>;
  readonly files?: readonly (readonly [string, string])[];
  readonly lowerCount?: number;
  /** Output is reported as it comes. */
  readonly watch?: boolean;
  /** It is held; some time after its root is open this shows. `open`: the output "open" is reported then, and nothing shows. */
  readonly held?: 'needed' | 'refused' | 'open';
}

export type Request =
  | ({ readonly op: 'run'; readonly id: number } & StepRequest)
  | { readonly op: 'abort'; readonly id: number }
  | { readonly op: 'probe'; readonly id: number };

export interface Answer {
  readonly id: number;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly left?: readonly string[];
  readonly notices?: readonly string[];
  readonly place?: string;
  readonly output?: string;
  readonly result?: StepResult;
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string | undefined };
  readonly reports?: readonly RungReport[];
}
