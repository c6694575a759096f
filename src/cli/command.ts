/** What a command is, and the list of all: names and summaries here, everything else behind a dynamic import. */
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
  /** Resolves to the exit code. Failures are thrown. */
  run(flags: ParsedFlags, session: Session): Promise<number>;
}

export interface CommandEntry {
  readonly summary: string;
  readonly group: 'Build' | 'Registry' | 'Local images' | 'Machine';
  readonly load: () => Promise<Command>;
}

export const commands: Readonly<Record<string, CommandEntry>> = {
  build: {
    summary: 'build an image from a Dockerfile (the default command)',
    group: 'Build',
    load: async () => (await import('./commands/build.ts')).build,
  },
  version: {
    summary: 'print the version',
    group: 'Machine',
    load: async () => (await import('./commands/version.ts')).version,
  },
};

/** Other names for commands. */
export const aliases: Readonly<Record<string, string>> = {
  tags: 'ls',
};
