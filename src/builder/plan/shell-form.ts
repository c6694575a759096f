/** Shell form against JSON form. */
import type { Command } from '../dockerfile/index.ts';
import type { StageState } from './stage-state.ts';

/** The command line of a shell or JSON form under the SHELL in force. */
export function withShell(state: StageState, command: Command): readonly string[] {
  if (command.form === 'exec') return command.args;
  return [...(state.config.Shell?.length ? state.config.Shell : ['/bin/sh', '-c']), command.text];
}
