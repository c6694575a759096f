/**
 * What a step may rely on, whatever the rung: one table, run on each. `not` names the rungs where a behaviour differs,
 * with the reason, and are held to it: one that does not differ is an error. docs/isolation.md lists them.
 */
import type { StepRequest } from '../protocol.ts';
import type { TestedRung } from '../step-runner.ts';

export interface Behaviour {
  /** Follows "a step". */
  readonly title: string;
  readonly request: StepRequest;
  readonly expect: {
    /** Default 0. */
    readonly code?: number;
    readonly killed?: string;
    /** Trimmed. */
    readonly stdout?: string | RegExp;
    readonly stderr?: RegExp;
    /** All of what the upper directory holds afterwards. */
    readonly left?: readonly string[];
    readonly error?: string;
    readonly message?: RegExp;
  };
  readonly not?: Partial<Record<TestedRung, string>>;
  /** Too dangerous for the machine to be tried where it differs: it would succeed. */
  readonly untried?: true;
}

/** Reasons several behaviours share. */
export const noMounts = { chroot: 'nothing can be mounted' };
export const noNamespaces = { chroot: 'there are no namespaces' };
export const noProc = { chroot: 'there is no /proc' };
export const oneId = { single: 'one ID is mapped' };
