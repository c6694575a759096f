/** The mistakes of a command line as a whole. */
import { nearest, TsbuildError } from '../core/index.ts';

export function unknownCommand(word: string, known: readonly string[]): TsbuildError {
  const near = nearest(word, known);
  return new TsbuildError({
    code: 'command-unknown',
    message: `there is no command ${JSON.stringify(word)}, and no directory of that name to build`,
    hint: near === undefined ? 'Run tsbuild --help to see the commands.' : `Did you mean tsbuild ${near}?`,
  });
}

/** @param usage as in the command's table */
export function wrongWords(usage: string, words: readonly string[], least: number): TsbuildError {
  const [name = ''] = usage.split(' ');
  return new TsbuildError({
    code: 'usage',
    message:
      words.length < least ? `${name} needs more arguments` : `${name} does not take ${JSON.stringify(words.at(-1))}`,
    hint: `Write tsbuild ${usage}`,
  });
}
