/**
 * One command line from its arguments to its exit code. What is not needed for a command that succeeds (help, the drawing
 * of errors) is imported when it is.
 */
import { parseFlags } from './args/flag.ts';
import type { Command } from './command.ts';
import { commandNamed, commandNames, commandWords } from './command-names.ts';
import { commands } from './command-table.ts';
import { reportFailure } from './report-failure.ts';
import type { Session } from './session.ts';

export const exitCodes = { success: 0, failure: 1, usage: 2 } as const;

/** Runs `tsbuild ARGUMENTS`; never throws. Failures are drawn on stderr. */
export async function run(argv: readonly string[], session: Session): Promise<number> {
  try {
    return await dispatch(argv, session);
  } catch (error) {
    return await reportFailure(error, session);
  }
}

async function dispatch(argv: readonly string[], session: Session): Promise<number> {
  const [first, ...rest] = argv;
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') {
    return await help(first === 'help' ? rest : [], session);
  }
  if (first === '--version' || first === '-v') return await dispatch(['version', ...rest], session);
  const name = commandNamed(first);
  const command = await commands[name ?? 'build'].load();
  const words = name === undefined ? argv : rest;
  const flags = parseFlags(words, command.flags, command.firstWordEndsFlags);
  if (flags.on('help')) return await helpFor(command, session);
  if (name === undefined) await refuseMistypedCommand(first, flags.positionals);
  await checkWords(command, flags.positionals);
  return await command.run(flags, session);
}

async function commandOrRefuse(word: string): Promise<Command> {
  const name = commandNamed(word);
  if (name !== undefined) return await commands[name].load();
  const { unknownCommand } = await import('./usage-errors.ts');
  throw unknownCommand(word, commandNames);
}

async function help(words: readonly string[], session: Session): Promise<number> {
  const [name] = words;
  if (name !== undefined) return await helpFor(await commandOrRefuse(name), session);
  const { renderOverview } = await import('./help.ts');
  session.stdout.write(renderOverview());
  return exitCodes.success;
}

async function helpFor(command: Command, session: Session): Promise<number> {
  const { renderCommandHelp } = await import('./help.ts');
  session.stdout.write(renderCommandHelp(command, session.stdout.isTTY ? session.stdout.columns : 100));
  return exitCodes.success;
}

/** `tsbuild pul alpine` is no build of the directory `pul`. */
async function refuseMistypedCommand(first: string, positionals: readonly string[]): Promise<void> {
  if (first !== positionals[0] || !/^[a-z]+$/.test(first)) return;
  const { existsSync } = await import('node:fs');
  if (existsSync(first)) return;
  const { unknownCommand } = await import('./usage-errors.ts');
  throw unknownCommand(first, commandWords);
}

async function checkWords(command: Command, words: readonly string[]): Promise<void> {
  const { least, most } = command.words;
  if (words.length >= least && words.length <= most) return;
  const { wrongWords } = await import('./usage-errors.ts');
  throw wrongWords(command.usage, words, least);
}
