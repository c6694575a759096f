/** RUN: the command line, the environment, heredocs, and the mounts it asks for. */
import posix from 'node:path/posix';
import { type Heredoc, isHeredocWord, type RunInstruction } from '../dockerfile/index.ts';
import { planMount } from './mounts.ts';
import { withShell } from './shell-form.ts';
import type { StageState } from './stage-state.ts';

/** Where a heredoc that begins with `#!` is put to be run. */
export const scriptFolder = '/dev/pipes';

const networks = ['default', 'none', 'host'] as const;

export function dispatchRun(state: StageState, instruction: RunInstruction): void {
  const { options } = state.setting;
  const { args, script } = commandLine(state, instruction);
  // The parser admits no other values.
  const network = networks.find((name) => name === instruction.network?.raw) ?? options.network;
  const security = instruction.security?.raw === 'insecure' ? 'insecure' : 'sandbox';
  const mounts = instruction.mounts.map((flag) => planMount(state, instruction, flag));
  state.addStep(
    instruction,
    {
      kind: 'run',
      args,
      env: state.env,
      cwd: state.workdir,
      user: state.config.User ?? '',
      network,
      security,
      mounts,
      ...(script && { script }),
    },
    `RUN ${state.argsText}${args.join(' ')} # buildkit`,
  );
}

interface CommandLine {
  readonly args: readonly string[];
  readonly script?: { readonly name: string; readonly text: string };
}

function commandLine(state: StageState, { command, heredocs }: RunInstruction): CommandLine {
  const [first] = heredocs;
  if (command.form === 'exec' || !first) return { args: withShell(state, command) };
  if (!isHeredocWord(command.text)) {
    // The shell reads the heredocs itself: give it the text as it stood in the Dockerfile.
    const text = [command.text, ...heredocs.map((heredoc) => `\n${heredoc.raw}${heredoc.name}`)].join('');
    return { args: withShell(state, { form: 'shell', text }) };
  }
  if (first.content.startsWith('#!')) {
    const path = posix.join(scriptFolder, first.name);
    return { args: withShell(state, { form: 'shell', text: path }), script: scriptOf(first) };
  }
  return { args: withShell(state, { form: 'shell', text: first.content }) };
}

function scriptOf({ name, content }: Heredoc): { name: string; text: string } {
  return { name, text: content };
}
