/** `--progress` of the commands that move images. */
import { type Flag, oneOf, type ParsedFlags } from './flag.ts';

export const progressKinds = ['auto', 'plain', 'tty', 'quiet', 'rawjson'] as const;
export type ProgressKind = (typeof progressKinds)[number];

/** For the commands that move images. */
export const progressFlag: Flag = {
  name: 'progress',
  value: 'KIND',
  help: 'auto (default), tty, plain, quiet or rawjson',
};

/** `--quiet` means no progress. */
export function progressOf(flags: ParsedFlags, env: Readonly<Record<string, string | undefined>>): ProgressKind {
  if (flags.on('quiet')) return 'quiet';
  return oneOf('--progress', flags.text('progress') ?? env.BUILDKIT_PROGRESS ?? 'auto', progressKinds);
}
