/** What a command is. */
import type { Flag, ParsedFlags } from './args/flag.ts';
import type { Session } from './session.ts';

export interface Command {
  /** What follows `tsbuild`: `pull [OPTIONS] NAME`. */
  readonly usage: string;
  /** Sentences for `--help`, below the usage. */
  readonly about: string;
  readonly flags: readonly Flag[];
  /** A command line and what it does. */
  readonly examples?: readonly (readonly [line: string, what: string])[];
  /** How many words it takes beside flags. */
  readonly words: { readonly least: number; readonly most: number };
  /** Words after the first are not flags of this command, whatever they look like. */
  readonly firstWordEndsFlags?: boolean;
  /** Resolves to the exit code. Failures are thrown. */
  run(flags: ParsedFlags, session: Session): Promise<number>;
}
